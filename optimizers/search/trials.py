"""One trial: a candidate evaluated on some examples, visible to DSPy's callbacks; and the check of the limits."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Semaphore
from typing import Any

import dspy
from dspy.evaluate.evaluate import EvaluationResult
from dspy.utils.callback import with_callbacks

from anytime_dspy.anytime import Anytime
from anytime_dspy.checkpoint import Usage
from anytime_dspy.dashboards.mlflow_runs import joined_run
from anytime_dspy.errors import AnytimeError
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.optimizers.search.limits import Limits
from anytime_dspy.parallel import map_unordered
from anytime_dspy.runtime.context import budget

__all__ = ["SURE", "Evaluation", "Slots", "SpendingLimit", "Validation"]

SURE = 0.9
"""The default probability of a gain from which on a candidate is returned instead of the student."""


@dataclass(frozen=True)
class Validation:
    """The examples and the metric that candidates are evaluated with.

    Attributes:
        examples: The examples of the heats, in the order in which they are run.
        metric: The Anytime Index.
        threads: The number of examples that run concurrently.
        overtime: Further examples, for the finalists of a race.
        sure: The probability of a gain from which on a candidate is returned instead of the student.
    """

    examples: Sequence[dspy.Example]
    metric: AnytimeIndex
    threads: int = 1
    overtime: Sequence[dspy.Example] = ()
    sure: float = SURE


@dataclass(frozen=True)
class SpendingLimit:
    """What a compile spent before this race, and its limits.

    Attributes:
        limits: The limits of the whole compile.
        before: The usage before the race.
        begun: The start of the compile, by `time.monotonic`.
        paid: The number of heats whose calls are already stored and cost nothing again, by candidate key.
    """

    limits: Limits
    before: Usage
    begun: float
    paid: Mapping[str, int] = field(default_factory=dict)

    def reached(self, racing: Usage) -> str | None:
        """Returns the name of a limit that is reached, or None."""
        return self.limits.reached(self.before + racing, time.monotonic() - self.begun)


class Slots(Semaphore):
    """Limits how many examples run concurrently, over all evaluations that share it.

    Attributes:
        failure: An error that ends all of these evaluations, such as a full disk: no further example begins.
    """

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.failure: AnytimeError | None = None


class Evaluation(dspy.Evaluate):
    """A `dspy.Evaluate` that ends with the first failed example instead of scoring it 0.

    DSPy's callbacks, such as MLflow's, see an ordinary evaluation.

    Args:
        examples: The examples, by position.
        metric: The Anytime Index.
        slots: Limits how many examples run concurrently.

    Attributes:
        scores: The index of each example that ran, by position.
        usage: The cost.
        prompt_tokens: The prompt tokens of each example at the largest budget.
    """

    def __init__(self, examples: Mapping[int, dspy.Example], metric: AnytimeIndex, slots: Slots) -> None:
        super().__init__(devset=list(examples.values()), metric=metric, num_threads=max(1, len(examples)))
        self.places = list(examples)
        self._slots = slots
        self.scores: dict[int, float] = {}
        self.usage = Usage()
        self.prompt_tokens: list[int] = []

    def __call__(self, program: Anytime) -> EvaluationResult:
        """Returns DSPy's `EvaluationResult`, with the score in percent.

        Raises:
            Exception: The error of the first failed example, once the running ones have ended.
        """
        with joined_run():
            return self._evaluate(program, callback_metadata={"metric_key": self.metric.__name__})

    @with_callbacks  # type: ignore[untyped-decorator]
    def _evaluate(self, program: Anytime, callback_metadata: Mapping[str, Any]) -> EvaluationResult:
        results: dict[int, tuple[dspy.Example, dspy.Prediction, float]] = {}
        failure: Exception | None = None
        run = partial(self._run, program)
        one = self.num_threads == 1  # needs no thread
        for at, outcome in (
            enumerate(map(run, self.devset)) if one else map_unordered(run, self.devset, self.num_threads)
        ):
            scored, usage = outcome
            self.usage += usage
            if isinstance(scored, Exception):
                failure = failure or scored
                continue
            score, prediction = scored
            results[at] = (self.devset[at], prediction, score)
            self.scores[self.places[at]] = score
            self.prompt_tokens.append(prediction.checkpoints[-1].usage.prompt_tokens)
        self.scores = dict(sorted(self.scores.items()))  # examples finish in any order
        if failure is not None:
            raise failure
        in_order = [results[at] for at in sorted(results)]
        mean = sum(score for _, _, score in in_order) / max(1, len(in_order))
        return EvaluationResult(score=round(100 * mean, 2), results=in_order)

    def _run(self, program: Anytime, example: dspy.Example) -> tuple[tuple[float, dspy.Prediction] | Exception, Usage]:
        """Returns the score and the prediction, or the LM's error, and what was paid."""
        # An outer budget that no run can exhaust: it counts what is really spent, without replayed calls.
        with self._slots, budget(sum(program.budgets), answer_tokens=program.answer_tokens) as spent:
            if self._slots.failure:  # what follows could not be kept, and would be paid for in vain
                raise self._slots.failure
            try:
                return self._scored(program, example), spent.usage
            except AnytimeError as error:
                self._slots.failure = error
                raise

    def _scored(self, program: Anytime, example: dspy.Example) -> tuple[float, dspy.Prediction] | Exception:
        """Returns the score and the prediction, or the LM's error."""
        try:
            prediction = program(**example.inputs())
        except AnytimeError:
            raise
        except Exception as error:  # a failure of the LM is not a score of 0
            return error
        with self.metric.naming(example):
            return self.metric(example, prediction), prediction
