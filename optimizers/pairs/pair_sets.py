"""Sets of preference pairs to try in a prompt: good ones, of problems that are unlike each other."""

from __future__ import annotations

import random
from collections.abc import Sequence

from anytime_dspy.optimizers.pairs.pair import PreferencePair, distance

__all__ = ["PairSet", "candidate_sets"]

PairSet = tuple[PreferencePair, ...]
"""Pairs that are shown together, ordered by budget."""

DRAWS = 20
"""For each set that is wanted, the sets that are drawn before giving up: with few examples there are no more."""


def candidate_sets(pairs: Sequence[PreferencePair], k: int, size: int, seed: int = 0) -> list[PairSet]:
    """Draws different sets of pairs, each of unlike problems.

    Each set takes the budgets in turn, and at each the pair with the largest product of three: its gap, the area under
    the chosen trace's own curve, and how unlike its problem is to those in the set (`distance`). Where there are
    others, no trace is shown that was cut off, or that left its answer to the answer call, as the recipe may (a
    demonstration of that teaches to reason about nothing), nor one that was right before it reasoned. The first set
    looks at all examples, each other one at a half of them, drawn by the seed.

    Args:
        pairs: As `build_pairs` returned them.
        k: Sets wanted, at least 1.
        size: Pairs in a set, at least 1.
        seed: The same seed draws the same sets.

    Returns:
        At most `k` sets, fewer where there are not as many. No example is in a set twice, so a set is smaller than
        `size` where there are fewer examples.
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
        # An example that only another budget has pairs of is better than none.
        here = [pair for pair in left if pair.budget == budget] or left
        taken.append(max(_able(here, left), key=lambda pair: _merit(pair, taken)))
        left = [pair for pair in left if pair.example_index != taken[-1].example_index]
    return tuple(sorted(taken, key=lambda pair: pair.budget))


def _able(here: Sequence[PreferencePair], left: Sequence[PreferencePair]) -> Sequence[PreferencePair]:
    """Those of the pairs at a budget that teach the most; a whole trace of another budget is better than a cut one."""
    worked_out = [pair for pair in here if pair.chosen.worked_out]
    whole = [pair for pair in worked_out if pair.chosen.complete] or [
        pair for pair in left if pair.chosen.worked_out and pair.chosen.complete
    ]
    return whole or worked_out or [pair for pair in here if pair.earned] or here


def _merit(pair: PreferencePair, taken: Sequence[PreferencePair]) -> float:
    novelty = min((distance(pair, other) for other in taken), default=1.0)
    return pair.gap * pair.chosen.area * novelty
