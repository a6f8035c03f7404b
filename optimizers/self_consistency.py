"""Self-consistency: the most common answer of several samples (Wang et al. 2022, arXiv 2203.11171)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import dspy

from anytime_dspy.answers import AnswerKey, answer_text, is_answered
from anytime_dspy.anytime import Anytime
from anytime_dspy.budgets import Budget, whole_number
from anytime_dspy.errors import AnytimeError, ProgramError
from anytime_dspy.optimizers.traces.seeding import seed_of, with_sampling
from anytime_dspy.runtime.adapter import BudgetAdapter
from anytime_dspy.runtime.allowance import Remaining
from anytime_dspy.runtime.context import budget, current_tracker
from anytime_dspy.runtime.tracker import BudgetTracker

__all__ = ["SelfConsistency"]

LEAST = 1e-9
"""Stands for zero seconds or dollars, since a budget must be above zero."""


class _Vote(NamedTuple):
    """The prediction of one run, and the canonical form of its answer; None if no answer could be read."""

    prediction: dspy.Prediction
    key: str | None


class SelfConsistency(dspy.Module):
    """Runs a program several times and returns the most common answer: a baseline at matched tokens.

    Under a budget each run gets an equal share of what is left, so all runs together spend no more reasoning tokens
    than one run of the program may. Answer tokens are not part of a budget, and are spent `samples` times. The shares
    depend on the budget, so one run cannot be cut at every budget: sweep it with `Anytime(..., mode="contract")`. Under
    a budget, a run whose answer cannot be read has no vote.

    Args:
        program: The program; each run uses a copy.
        samples: The number of runs, at least 2.
        temperature: The sampling temperature, above 0.
        answer_key: Makes answers comparable; by default their text, ignoring case and white space.
        seed: The seed of the samples.

    Raises:
        AnytimeError: An option is invalid.
        ProgramError: `program` is an `Anytime`.

    Example:
        >>> voting = SelfConsistency(dspy.ChainOfThought("question -> answer"), samples=3)
        >>> [name for name, _ in voting.named_predictors()]
        ['program.predict']
    """

    def __init__(
        self,
        program: dspy.Module,
        samples: int = 5,
        *,
        temperature: float = 0.7,
        answer_key: AnswerKey = answer_text,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if isinstance(program, Anytime):
            raise ProgramError(
                "each run of self-consistency has one budget, and an Anytime has several: wrap it the other way round, "
                'Anytime(SelfConsistency(program), mode="contract")'
            )
        if (whole_number(samples) or 0) < 2:
            raise AnytimeError(f"samples must be a whole number of at least 2, or nothing can agree; got {samples!r}")
        if not temperature > 0:
            raise AnytimeError(f"temperature must be above 0, or all samples are the same; got {temperature}")
        self.program = program
        self.samples = samples
        self.temperature = temperature
        self.answer_key = answer_key
        self.seed = seed

    def forward(self, *positional: Any, **inputs: Any) -> dspy.Prediction:
        """Returns the most common answer; called by DSPy."""
        votes = []
        for program, share in self._runs():
            with share as spent:
                votes.append(self._vote(program(*positional, **inputs), spent))
        return _elected(votes)

    async def aforward(self, *positional: Any, **inputs: Any) -> dspy.Prediction:
        """Returns the most common answer, asynchronously; called by DSPy."""
        votes = []
        for program, share in self._runs():
            with share as spent:
                votes.append(self._vote(await program.acall(*positional, **inputs), spent))
        return _elected(votes)

    def _vote(self, prediction: dspy.Prediction, spent: BudgetTracker | None) -> _Vote:
        # Without a budget DSPy raises if it cannot read an answer.
        is_read = spent is None or is_answered(prediction, spent.calls)
        return _Vote(prediction, self.answer_key(prediction) if is_read else None)

    def _runs(self) -> Iterator[tuple[dspy.Module, AbstractContextManager[BudgetTracker | None]]]:
        """Yields a copy of the program for each run, with its share of the budget."""
        if isinstance(dspy.settings.adapter, BudgetAdapter) and dspy.settings.adapter.replay is not None:
            raise ProgramError(
                "self-consistency splits its budget over several runs, so one trace cannot be cut at every budget: "
                'wrap it in ad.Anytime(..., mode="contract")'
            )
        for sample in range(self.samples):
            program = with_sampling(self.program, self.temperature, seed_of(self.seed, sample))
            around = current_tracker()
            if around is None:
                yield program, nullcontext()
                continue
            names = {id(predictor): f"program.{name}" for name, predictor in program.named_predictors()}
            share = equal_share(around.left(), self.samples - sample)
            yield program, budget(share, answer_tokens=around.answer_tokens, names=names)


def _elected(votes: Sequence[_Vote]) -> dspy.Prediction:
    """The first prediction with the most common answer; predictions without an answer do not count."""
    counts = Counter(vote.key for vote in votes if vote.key is not None)
    wanted = counts.most_common(1)[0][0] if counts else None
    return next(vote.prediction for vote in votes if vote.key == wanted)


def equal_share(left: Remaining, runs: int) -> Budget:
    """Returns an equal share of each limited resource; if nothing is left, the smallest valid budget."""
    tokens, seconds, dollars = (None if amount == math.inf else max(0.0, amount) / runs for amount in left)
    return Budget(
        tokens=None if tokens is None else max(1, int(tokens)),
        seconds=None if seconds is None else max(LEAST, seconds),
        dollars=None if dollars is None else max(LEAST, dollars),
    )
