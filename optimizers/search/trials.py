"""Running one candidate on some examples: an evaluation that DSPy's callbacks see, and where spending has to stop."""

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
from anytime_dspy.parallel import finished
from anytime_dspy.runtime.context import budget

__all__ = ["Evaluation", "Meter", "Validation"]


@dataclass(frozen=True)
class Validation:
    """What candidates are measured on.

    Attributes:
        examples: Those of the heats, in the order in which they are run.
        metric: The Anytime Index.
        threads: Examples run at the same time.
        overtime: Further ones, for a leader whose gain is not sure after the heats.
    """

    examples: Sequence[dspy.Example]
    metric: AnytimeIndex
    threads: int = 1
    overtime: Sequence[dspy.Example] = ()


@dataclass(frozen=True)
class Meter:
    """What a compile has spent before this race, and where it has to stop.

    Attributes:
        limits: Of the whole compile.
        before: Spent before the race.
        begun: When the compile began, by `time.monotonic`.
        paid: By the keys of candidates, of how many heats their runs are in the log of calls, and cost nothing again.
    """

    limits: Limits
    before: Usage
    begun: float
    paid: Mapping[str, int] = field(default_factory=dict)

    def reached(self, racing: Usage) -> str | None:
        """Returns the name of a limit that is reached, None where none is."""
        return self.limits.reached(self.before + racing, time.monotonic() - self.begun)


class Evaluation(dspy.Evaluate):
    """Runs a program on examples as `dspy.Evaluate` does, but for what fails: that ends it, and is no score of 0.

    To DSPy's callbacks (MLflow's among them) it is an evaluation as any other.

    Args:
        examples: By their places.
        metric: The Anytime Index.
        slots: As many examples run at the same time, of all evaluations that share these.
        name: What the callbacks are told that the metric is called.

    Attributes:
        scores: The index of each example that was run, by its place.
        usage: What it cost.
        prompt_tokens: Sent at the largest budget, of each example.
    """

    def __init__(
        self, examples: Mapping[int, dspy.Example], metric: AnytimeIndex, slots: Semaphore, name: str | None = None
    ) -> None:
        super().__init__(devset=list(examples.values()), metric=metric, num_threads=max(1, len(examples)))
        self.places = list(examples)
        self._slots = slots
        self._name = name or metric.__name__
        self.scores: dict[int, float] = {}
        self.usage = Usage()
        self.prompt_tokens: list[int] = []

    def __call__(self, program: Anytime) -> EvaluationResult:
        """Returns what DSPy's own evaluation returns, the score in percent.

        Raises:
            Exception: What the program raised on the first example that failed, once those at work have ended.
        """
        with joined_run():
            return self._evaluate(program, callback_metadata={"metric_key": self._name})

    @with_callbacks  # type: ignore[untyped-decorator]
    def _evaluate(self, program: Anytime, callback_metadata: Mapping[str, Any]) -> EvaluationResult:
        results: dict[int, tuple[dspy.Example, dspy.Prediction, float]] = {}
        failure: Exception | None = None
        for at, outcome in finished(partial(self._run, program), self.devset, self.num_threads):
            if isinstance(outcome, Exception):
                failure = failure or outcome
                continue
            score, prediction, usage = outcome
            results[at] = (self.devset[at], prediction, score)
            self.scores[self.places[at]] = score
            self.usage += usage
            self.prompt_tokens.append(prediction.checkpoints[-1].usage.prompt_tokens)
            if failure is not None:
                break
        self.scores = dict(sorted(self.scores.items()))  # examples finish in any order
        if failure is not None:
            raise failure
        in_order = [results[at] for at in sorted(results)]
        mean = sum(score for _, _, score in in_order) / max(1, len(in_order))
        return EvaluationResult(score=round(100 * mean, 2), results=in_order)

    def _run(self, program: Anytime, example: dspy.Example) -> tuple[float, dspy.Prediction, Usage] | Exception:
        # An outer budget that no run can exhaust: it adds up what was really spent, replayed calls left out.
        with self._slots, budget(sum(program.budgets), answer_tokens=program.answer_tokens) as spent:
            try:
                prediction = program(**example.inputs())
            except AnytimeError:
                raise
            except Exception as error:  # an LM's failure is no score
                return error
            with self.metric.naming(example):
                return self.metric(example, prediction), prediction, spent.usage
