"""What a search may choose from: instructions, sets of pairs, how many of them, and whether contrast is shown."""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import TrialState, create_trial

from anytime_dspy.anytime import Anytime
from anytime_dspy.optimizers.candidates import PairSet
from anytime_dspy.optimizers.prompting import prompted
from anytime_dspy.optimizers.quiet import quiet_optuna

__all__ = ["Candidate", "Instructions", "Prompt", "Space", "propose"]

Instructions = Mapping[str, str]
"""The instructions of each predictor, by its name."""

STARTUP = 6
"""Measured candidates before the sampler begins to model them."""

ASKS = 32
"""How often the sampler is asked for a candidate that is new; after that one is drawn."""


@dataclass(frozen=True)
class Candidate:
    """One way to prompt the student, as places in a `Space`; the default is the student itself.

    Attributes:
        instructions: Which instructions.
        pairs: Which set of pairs.
        shown: How many of its pairs.
        contrast: Whether their rejected traces are shown too.
    """

    instructions: int = 0
    pairs: int = 0
    shown: int = 0
    contrast: bool = False


@dataclass(frozen=True)
class Prompt:
    """What a candidate stands for.

    Attributes:
        instructions: Each predictor's.
        pairs: What is shown, ordered by budget.
        contrast: Whether the rejected traces are shown too.
    """

    instructions: Instructions
    pairs: PairSet
    contrast: bool

    def applied(self, student: Anytime) -> Anytime:
        """Returns a copy of the student that is prompted so."""
        return prompted(student, self.pairs, contrastive=self.contrast, instructions=self.instructions)


@dataclass(frozen=True)
class Space:
    """The candidates of a search.

    Attributes:
        student: What they are made from.
        instructions: To choose from; the first are the student's own.
        sets: Sets of pairs to choose from.
        shown: Numbers of pairs to choose from, 0 among them.
        contrasts: Whether contrast may be shown: (False, True), or (False,) for PDP(+).
        starts: Candidates that are tried before any other, the student itself first.
    """

    student: Anytime
    instructions: tuple[Instructions, ...]
    sets: tuple[PairSet, ...]
    shown: tuple[int, ...]
    contrasts: tuple[bool, ...]
    starts: tuple[Candidate, ...]

    def __iter__(self) -> Iterator[Candidate]:
        """Yields every candidate once: where no pair is shown, it does not matter which."""
        for instructions, shown in itertools.product(range(len(self.instructions)), self.shown):
            if not shown:
                yield Candidate(instructions)
                continue
            for pairs, contrast in itertools.product(range(len(self.sets)), self.contrasts):
                yield Candidate(instructions, pairs, shown, contrast)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """The same for Optuna: one categorical of places for each choice."""
        choices: dict[str, Sequence[Any]] = {
            "instructions": range(len(self.instructions)),
            "pairs": range(len(self.sets)),
            "shown": self.shown,
            "contrast": self.contrasts,
        }
        return {name: CategoricalDistribution(tuple(values)) for name, values in choices.items()}

    def prompt(self, candidate: Candidate) -> Prompt:
        """Returns what a candidate stands for: of its set, the pairs with the largest gaps are shown."""
        best = sorted(self.sets[candidate.pairs], key=lambda pair: -pair.gap)[: candidate.shown]
        return Prompt(
            instructions=self.instructions[candidate.instructions],
            pairs=tuple(sorted(best, key=lambda pair: pair.budget)),
            contrast=candidate.contrast,
        )


def propose(
    space: Space,
    measured: Sequence[tuple[Candidate, float]],
    taken: Collection[Candidate],
    *,
    trial: int,
    seed: int,
) -> Candidate | None:
    """Returns the candidate for a trial: a start, or what a fresh TPE sampler makes of the trials that are done.

    It depends on its arguments alone, so a search that was killed goes on as if it had not been.

    Args:
        space: To choose from.
        measured: Candidates with their mean scores, in the order of their trials.
        taken: Candidates that another trial has, or had; none is proposed twice.
        trial: Which trial it is for, from 0.
        seed: With the trial's number it seeds the sampler.

    Returns:
        None where every candidate is taken.
    """
    if trial < len(space.starts) and space.starts[trial] not in taken:
        return space.starts[trial]
    left = [candidate for candidate in space if candidate not in taken]
    if not left:
        return None
    rng = random.Random(f"{seed}/{trial}")
    with quiet_optuna():
        sampler = optuna.samplers.TPESampler(seed=rng.randrange(2**31), multivariate=True, n_startup_trials=STARTUP)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        distributions = space.distributions
        for candidate, score in measured:
            study.add_trial(create_trial(params=asdict(candidate), distributions=distributions, value=score))
        for _ in range(ASKS):
            asked = study.ask(distributions)
            candidate = Candidate(**asked.params)
            if candidate in left:
                return candidate
            study.tell(asked, state=TrialState.FAIL)
    return rng.choice(left)
