"""Sets of preference pairs for a prompt: good pairs of dissimilar problems."""

from __future__ import annotations

import random
from collections.abc import Sequence

from anytime_dspy.optimizers.pairs.pair import PreferencePair, distance

__all__ = ["PairSet", "candidate_sets"]

PairSet = tuple[PreferencePair, ...]
"""Pairs for one prompt, ordered by budget."""

DRAWS = 20
"""The number of draws per requested set; with few examples there are fewer different sets."""


def candidate_sets(pairs: Sequence[PreferencePair], k: int, size: int, seed: int = 0) -> list[PairSet]:
    """Draws different sets of pairs, each of dissimilar problems.

    A set takes the budgets in turn. At each budget it takes the pair with the largest product of its gap, the area
    under the chosen trace's own curve, and the distance of its problem to those in the set (`distance`). If possible it
    avoids chosen traces that were cut off, that do not work their answer out, or that were right at the smallest
    budget; as demonstrations they teach the model to skip the reasoning. The first set is drawn from all examples, each
    other one from a random half of them.

    Args:
        pairs: The result of `build_pairs`.
        k: The number of sets, at least 1.
        size: The number of pairs in a set, at least 1.
        seed: The same seed draws the same sets.

    Returns:
        At most `k` sets. An example occurs once in a set, so a set may be smaller than `size`.
    """
    examples = sorted({pair.example_index for pair in pairs})
    drawn: dict[frozenset[tuple[int, int]], PairSet] = {}
    for draw in range(k * DRAWS):
        rng = random.Random(f"{seed}/{draw}")
        looked_at = set(rng.sample(examples, max(min(size, len(examples)), len(examples) // 2)) if draw else examples)
        chosen = _set_of([pair for pair in pairs if pair.example_index in looked_at], size)
        drawn.setdefault(frozenset((pair.example_index, pair.budget) for pair in chosen), chosen)
        if len(drawn) == k:
            break
    return [chosen for chosen in drawn.values() if chosen]


def _set_of(pairs: Sequence[PreferencePair], size: int) -> PairSet:
    budgets = sorted({pair.budget for pair in pairs})
    taken: list[PreferencePair] = []
    left = list(pairs)
    while left and len(taken) < size:
        budget = budgets[len(taken) % len(budgets)]
        # Without a pair at this budget, one of another budget is better than none.
        here = [pair for pair in left if pair.budget == budget] or left
        taken.append(max(_able(here, left), key=lambda pair: _merit(pair, taken)))
        left = [pair for pair in left if pair.example_index != taken[-1].example_index]
    return tuple(sorted(taken, key=lambda pair: pair.budget))


def _able(here: Sequence[PreferencePair], left: Sequence[PreferencePair]) -> Sequence[PreferencePair]:
    """The best kind of pairs at a budget; a complete trace of another budget is better than a cut one."""
    worked_out = [pair for pair in here if pair.chosen.worked_out]
    whole = [pair for pair in worked_out if pair.chosen.complete] or [
        pair for pair in left if pair.chosen.worked_out and pair.chosen.complete
    ]
    return whole or worked_out or [pair for pair in here if pair.earned] or here


def _merit(pair: PreferencePair, taken: Sequence[PreferencePair]) -> float:
    novelty = min((distance(pair, other) for other in taken), default=1.0)
    return pair.gap * pair.chosen.area * novelty
