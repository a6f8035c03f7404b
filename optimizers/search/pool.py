"""The candidates that a race starts with, and those that it composes from the effects it measured."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.optimizers.likeness import jaccard
from anytime_dspy.optimizers.pairs.pair import PreferencePair, distance
from anytime_dspy.optimizers.pairs.pair_sets import PairSet
from anytime_dspy.optimizers.prompts.render import Instructions
from anytime_dspy.optimizers.search.effects import Measured, gains
from anytime_dspy.optimizers.search.space import (
    DEMONSTRATION,
    Candidate,
    demonstration_effect,
)

__all__ = ["COMPOSED", "FEW_SQUEEZED", "Pool", "composed"]

FEW_SQUEEZED = 4
"""With fewer squeezed traces than this, labelled examples and whole traces are tried early too."""

LABELLED, LABELLED_SETS = 4, 4
"""The number of labelled examples in a set, and of such sets where few traces were squeezed; else there is one set."""

BEST = (2, 4, 6)
"""The numbers of demonstrations in the sets of the best squeezed traces, in the order in which sets are made. A trace
is the better the more it has of `substance`: demonstrations of one step teach the model to stop after one, and most
right traces are of easy examples. On one seed of the demo two traces of two steps each took the student from .31 to
.81, and sets of four or six that mixed such traces with others to .39 to .51."""

DRAWN = ((4, True), (2, True), (4, False), (6, True), (6, False), (2, False))
"""The number of demonstrations in a random set, and whether it has long traces only; in the order in which sets are
made. A trace is long if its `substance` is above the median."""

COMPOSED = (4, 6)
"""The number of demonstrations in each set that is composed of the largest effects."""


@dataclass(frozen=True)
class Pool:
    """The parts that candidates are made of.

    Attributes:
        squeezed: Pairs whose chosen trace is squeezed, the best first, one per example.
        recipe: The pairs of the paper's recipe, one per budget; they race as PDP(+) and as PDP.
        whole: Sets of pairs of whole traces.
        styled: The student's instructions in the sampling styles, the best style first.
        written: Instructions with principles that the LM wrote, if it wrote any.
        contrastive: Whether rejected traces may be shown.
        labelled: Training examples whose labels can be shown.
        best: The best candidate of the earlier rounds.
        programs: Programs from elsewhere, each with a name.
    """

    squeezed: Sequence[PreferencePair]
    recipe: PairSet = ()
    whole: Sequence[PairSet] = ()
    styled: Sequence[Instructions] = ()
    written: Instructions | None = None
    contrastive: bool = True
    labelled: Sequence[dspy.Example] = ()
    best: Candidate | None = None
    programs: Sequence[tuple[str, Anytime]] = ()

    def candidates(self, most: int, seed: int) -> list[Candidate]:
        """Returns different candidates, the student first.

        Args:
            most: The largest number of candidates, at least 1.
            seed: The seed of the random sets.
        """
        found: dict[str, Candidate] = {}
        given = [Candidate(), *([self.best] if self.best else []), *(Candidate(n, program=p) for n, p in self.programs)]
        for candidate in itertools.chain(given, self._made(random.Random(seed), most)):
            found.setdefault(candidate.key, candidate)
            if len(found) == most:
                break
        return list(found.values())

    def _made(self, rng: random.Random, most: int) -> Iterator[Candidate]:
        """Yields first what did best in our experiments, since a short race has room for few candidates."""
        sets = self._sets(rng, most)
        labelled = self._labelled_sets(rng)
        style = self.styled[0] if self.styled else None
        head = list(itertools.islice(sets, 4))
        yield from head
        first = head[0].pairs if head else ()
        if style is not None and first:
            yield Candidate("squeezed", style, first)
        yield from itertools.islice(sets, 2)
        if self.contrastive and first:
            yield Candidate("squeezed", None, first, contrast=True)
        if self.recipe:
            yield Candidate("recipe", None, self.recipe)
            if self.contrastive:
                yield Candidate("recipe", None, self.recipe, contrast=True)
        if len(self.squeezed) < FEW_SQUEEZED:
            yield from labelled
            yield from (Candidate("whole traces", None, pairs) for pairs in self.whole)
        yield from itertools.islice(sets, 4)
        yield from itertools.islice(labelled, 1)
        if style is not None:
            yield Candidate("instructions", style)
        if self.written is not None:
            yield Candidate("instructions", self.written)
        if self.written is not None and first:
            yield Candidate("squeezed", self.written, first)
        yield from sets
        yield from (Candidate("whole traces", None, pairs) for pairs in self.whole)
        yield from (Candidate("instructions", one) for one in self.styled[1:])

    def _sets(self, rng: random.Random, most: int) -> Iterator[Candidate]:
        """Yields sets of the best squeezed traces, then random sets that use each trace about equally often."""
        if not self.squeezed:
            return
        used: Counter[int] = Counter()
        best = (self._best(size) for size in BEST)
        drawn = (self._drawn(size, only_long, rng, used) for size, only_long in itertools.cycle(DRAWN))
        for chosen in itertools.islice(itertools.chain(best, drawn), 2 * most):
            used.update(chosen)
            yield Candidate("squeezed", None, tuple(self.squeezed[one] for one in chosen))

    def _labelled_sets(self, rng: random.Random) -> Iterator[Candidate]:
        """Yields random sets of labelled examples."""
        size = min(LABELLED, len(self.labelled))
        for _ in range(LABELLED_SETS if size else 0):
            yield Candidate("labelled", labelled=tuple(rng.sample(list(self.labelled), size)))

    def _best(self, size: int) -> list[int]:
        """Adds, one at a time, the trace with the largest product of merit, substance, novelty, and score or vote."""
        able = [pair.merit * pair.substance * pair.chosen.score for pair in self.squeezed]
        chosen: list[int] = []
        while len(chosen) < min(size, len(able)):
            left = [place for place in range(len(able)) if place not in chosen]
            worth = {place: able[place] * self._novelty(place, chosen) for place in left}
            chosen.append(max(left, key=lambda place: (round(worth[place], 6), -place)))
        return sorted(chosen)

    def _left(self, chosen: Sequence[int], only_long: bool) -> list[int]:
        """The traces to choose the next one from: long ones, or short and long ones in turn for a mixed set."""
        left = [place for place in range(len(self.squeezed)) if place not in chosen]
        middle = median(pair.substance for pair in self.squeezed)
        wanted = only_long or len(chosen) % 2 == 1
        return [place for place in left if (self.squeezed[place].substance > middle) == wanted] or left

    def _drawn(self, size: int, only_long: bool, rng: random.Random, used: Counter[int]) -> list[int]:
        chosen: list[int] = []
        while len(chosen) < min(size, len(self.squeezed)):
            left = self._left(chosen, only_long)
            least = min(used[place] for place in left)
            rarest = [place for place in left if used[place] == least]
            unlike = {place: self._novelty(place, chosen) if chosen else rng.random() for place in rarest}
            chosen.append(max(rarest, key=lambda place: (unlike[place], rng.random())))
        return sorted(chosen)

    def _novelty(self, place: int, chosen: Sequence[int]) -> float:
        """The distance of a trace to the nearest chosen one, in [0, 1]: of its problem, and of its form of reasoning.

        Four multiplications in a row teach the model to multiply whatever it is given.
        """
        pair = self.squeezed[place]
        others = (self.squeezed[one] for one in chosen)
        return min(((distance(pair, other) + _form_distance(pair, other)) / 2 for other in others), default=1.0)


def _form_distance(pair: PreferencePair, other: PreferencePair) -> float:
    """The Jaccard distance of two reasoning texts without their numbers: of their words and signs."""
    here, there = (frozenset(re.findall(r"[^\W\d]+|[^\w\s]", one.chosen.reasoning.casefold())) for one in (pair, other))
    return 1.0 - jaccard(here, there)


def composed(
    candidates: Sequence[Candidate], measured: Sequence[Measured], squeezed: Sequence[PreferencePair]
) -> list[Candidate]:
    """Returns new sets of the demonstrations with the largest effects: of the kind that the best candidate shows.

    Sets of squeezed traces have the instructions of the best candidate that shows traces.

    Args:
        candidates: The candidates that ran, without the student.
        measured: The measurements of each.
        squeezed: The pairs that sets are composed of.
    """
    made = [(gain.mean, one) for gain, one in zip(gains(measured), candidates, strict=True) if one.shown]
    best = max(made, key=lambda pair: pair[0], default=(0.0, Candidate()))[1]
    labelled = {demonstration_effect(one): one for candidate in candidates for one in candidate.labelled}
    family: Sequence[Any] = list(labelled.values()) if best.labelled else squeezed
    if not family:
        return []
    effects = gains(measured, [{demonstration_effect(one): DEMONSTRATION} for one in family])[len(measured) :]
    order = sorted(range(len(family)), key=lambda place: (-round(effects[place].mean, 9), place))
    sets = [tuple(family[place] for place in sorted(order[:size])) for size in COMPOSED]
    fresh = (
        Candidate("composed, labelled", labelled=one)
        if best.labelled
        else Candidate("composed", best.instructions, one, best.contrast)
        for one in sets
    )
    known = {one.key for one in candidates}
    return [one for key, one in {one.key: one for one in fresh}.items() if key not in known]
