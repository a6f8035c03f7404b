"""The candidates that a race begins with, and those that it composes from what it has seen."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from anytime_dspy.anytime import Anytime
from anytime_dspy.optimizers.pairs.pair import PreferencePair, distance
from anytime_dspy.optimizers.pairs.pair_sets import PairSet
from anytime_dspy.optimizers.prompts.render import Instructions
from anytime_dspy.optimizers.search.effects import Measured, gains
from anytime_dspy.optimizers.search.space import (
    DEMONSTRATION,
    Candidate,
    demonstration_effect,
)

__all__ = ["COMPOSED", "LEAST", "Pool", "composed"]

LEAST = 4
"""Squeezed demonstrations that are enough to make sets of; with fewer, whole traces are shown too."""

SIZES = (4, 6, 2)
"""How many demonstrations a set has, in the order in which sets of these sizes are made, two of each in a row: one of
weighty traces alone, one of both kinds. Traces of one step each teach to stop after one step, and most right traces are
of easy examples; four weighty ones were worth most of all sets (.81 where the student had .34), and others little."""

COMPOSED = (4, 6)
"""How many demonstrations the sets have that are composed of the largest effects."""


@dataclass(frozen=True)
class Pool:
    """What candidates are made of.

    Attributes:
        squeezed: Pairs whose chosen trace is a squeezed one, the best first, one an example.
        recipe: The paper's pairs, one a budget.
        whole: Sets of pairs of whole traces.
        styled: The student's instructions in the sampling styles, the one that was judged best first.
        written: Instructions with principles that the LM wrote.
        contrastive: Whether contrast may be shown.
        best: Of the rounds before.
        programs: Whole programs that others made, with what to call them.
    """

    squeezed: Sequence[PreferencePair]
    recipe: PairSet = ()
    whole: Sequence[PairSet] = ()
    styled: Sequence[Instructions] = ()
    written: Sequence[Instructions] = ()
    contrastive: bool = True
    best: Candidate | None = None
    programs: Sequence[tuple[str, Anytime]] = ()

    def candidates(self, most: int, seed: int) -> list[Candidate]:
        """Returns different candidates, the student first.

        Args:
            most: How many there may be, at least 1.
            seed: Draws the sets.
        """
        found: dict[str, Candidate] = {}
        for candidate in itertools.chain([Candidate()], self._brought(), self._made(random.Random(seed), most)):
            found.setdefault(candidate.key, candidate)
            if len(found) == most:
                break
        return list(found.values())

    def _brought(self) -> Iterator[Candidate]:
        if self.best is not None:
            yield self.best
        for name, program in self.programs:
            yield Candidate(name, program=program)

    def _made(self, rng: random.Random, most: int) -> Iterator[Candidate]:
        """Those that did best in the experiments first: a short race has room for few."""
        sets = self._sets(rng, most)
        style = self.styled[0] if self.styled else None
        yield from itertools.islice(sets, 4)
        first = self.ranked_set(SIZES[0], weighty=True)
        if style is not None and first:
            yield Candidate("squeezed", style, first)
        yield from itertools.islice(sets, 2)
        if self.contrastive and first:
            yield Candidate("squeezed", None, first, contrast=True)
        if self.recipe:
            yield Candidate("recipe", None, self.recipe, contrast=self.contrastive)
        if len(self.squeezed) < LEAST:
            yield from (Candidate("whole traces", None, pairs) for pairs in self.whole)
        yield from itertools.islice(sets, 4)
        yield from (Candidate("instructions", one) for one in (*self.styled[:1], *self.written[:1]))
        if self.written and first:
            yield Candidate("squeezed", self.written[0], first)
        yield from sets
        yield from (Candidate("whole traces", None, pairs) for pairs in self.whole)
        yield from (Candidate("instructions", one) for one in (*self.styled[1:], *self.written[1:]))

    def _sets(self, rng: random.Random, most: int) -> Iterator[Candidate]:
        """Yields the best squeezed traces, then sets of unlike problems in which each is about as often."""
        if not self.squeezed:
            return
        used: Counter[int] = Counter()
        kinds = itertools.cycle((size, weighty) for size in SIZES for weighty in (True, False))
        for place, (size, weighty) in zip(range(2 * most), kinds, strict=False):
            # The ranking's own sets come first.
            choose = self._best if place < 2 else partial(self._drawn, rng, used)
            chosen = choose(min(size, len(self.squeezed)), weighty)
            used.update(chosen)
            yield Candidate("squeezed", None, tuple(self.squeezed[one] for one in chosen))

    def ranked_set(self, size: int, weighty: bool) -> PairSet:
        """Returns the ranking's own set.

        Args:
            size: How many demonstrations, at most.
            weighty: Whether only those of more substance than most are wanted, as far as there are such.
        """
        return tuple(self.squeezed[place] for place in self._best(min(size, len(self.squeezed)), weighty))

    def _best(self, size: int, weighty: bool) -> list[int]:
        """One after the other whatever has most merit and is least like those before, multiplied."""
        chosen: list[int] = []
        while len(chosen) < size:
            left = self._left(chosen, weighty)
            worth = {place: self.squeezed[place].merit * self._novelty(place, chosen) for place in left}
            chosen.append(max(left, key=lambda place: (round(worth[place], 6), -place)))
        return sorted(chosen)

    def _left(self, chosen: Sequence[int], weighty: bool) -> list[int]:
        """Who may be chosen next: where it is wanted, or every other time, one of more substance than most have."""
        left = [place for place in range(len(self.squeezed)) if place not in chosen]
        middle = median(pair.substance for pair in self.squeezed)
        wanted = weighty or len(chosen) % 2 == 1
        return [place for place in left if (self.squeezed[place].substance > middle) == wanted] or left

    def _drawn(self, rng: random.Random, used: Counter[int], size: int, weighty: bool) -> list[int]:
        chosen: list[int] = []
        while len(chosen) < size:
            left = self._left(chosen, weighty)
            least = min(used[place] for place in left)
            rarest = [place for place in left if used[place] == least]
            unlike = {place: self._novelty(place, chosen) if chosen else rng.random() for place in rarest}
            chosen.append(max(rarest, key=lambda place: (unlike[place], rng.random())))
        return sorted(chosen)

    def _novelty(self, place: int, chosen: Sequence[int]) -> float:
        """How unlike the chosen ones a demonstration is, in [0, 1]: its problem, and the form of its reasoning.

        Four products in a row teach to multiply whatever there is.
        """
        pair = self.squeezed[place]
        others = (self.squeezed[one] for one in chosen)
        return min(((distance(pair, other) + _unlike_in_form(pair, other)) / 2 for other in others), default=1.0)


def _unlike_in_form(pair: PreferencePair, other: PreferencePair) -> float:
    """The Jaccard distance of what stands in two squeezed reasonings beside numbers: their signs and words."""
    here, there = (frozenset(re.findall(r"[^\W\d]+|[^\w\s]", one.chosen.reasoning.casefold())) for one in (pair, other))
    return 1.0 - len(here & there) / len(here | there) if here | there else 0.0


def composed(
    candidates: Sequence[Candidate], measured: Sequence[Measured], squeezed: Sequence[PreferencePair]
) -> list[Candidate]:
    """Returns sets of the demonstrations with the largest effects, in the instructions of the best candidate.

    Args:
        candidates: Those that were run, the student left out.
        measured: What came of each.
        squeezed: What sets may be composed of.
    """
    if not squeezed:
        return []
    singles = [{demonstration_effect(pair): DEMONSTRATION} for pair in squeezed]
    believed = gains(measured, singles)
    effects = [gain.mean for gain in believed[len(measured) :]]
    order = sorted(range(len(squeezed)), key=lambda place: (-round(effects[place], 9), place))
    made = [(gain.mean, one) for gain, one in zip(believed, candidates, strict=False) if one.pairs]
    best = max(made, key=lambda pair: pair[0], default=(0.0, Candidate()))[1]
    known = {one.key for one in candidates}
    sets = [tuple(squeezed[place] for place in sorted(order[:size])) for size in COMPOSED]
    fresh = {one.key: one for one in (Candidate("composed", best.instructions, pairs, best.contrast) for pairs in sets)}
    return [one for key, one in fresh.items() if key not in known]
