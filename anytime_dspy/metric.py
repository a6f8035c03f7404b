"""The Anytime Index as a DSPy metric."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any

import dspy

from anytime_dspy.checkpoint import Checkpoint
from anytime_dspy.curve import AnytimeCurve, Axis, anytime_index
from anytime_dspy.errors import AnytimeError, ProgramError
from anytime_dspy.feedback import feedback_on

__all__ = ["AnytimeIndex", "anytime_index"]


@dataclass(frozen=True)
class AnytimeIndex:
    """Scores a prediction by the Anytime Index over its checkpoints: a metric for Evaluate and every DSPy optimiser.

    Attributes:
        quality: `quality(example, prediction) -> number in [0, q_max]`, asked about each checkpoint's prediction: any
            metric of DSPy's, one that gives a `dspy.Prediction` with a `score` too. A checkpoint without an answer has
            quality 0 and is not asked about. What `quality` raises is not caught.
        best_so_far: Whether the index takes the best quality so far, as in the paper. That uses the gold score, so it
            is an oracle unless quality can be checked at run time; False scores what a user gets at each budget.
        axis: "linear" as in the paper, or "log".
        q_max: The ceiling of the quality scale.

    >>> metric = AnytimeIndex(lambda example, prediction: example.answer == prediction.answer)
    >>> metric.axis
    'linear'
    """

    quality: Callable[..., Any]
    _: KW_ONLY
    best_so_far: bool = True
    axis: Axis = "linear"
    q_max: float = 1.0

    @property
    def __name__(self) -> str:
        """What dashboards call it, MLflow for one, as they call a function by its name."""
        return "anytime_index"

    def __call__(
        self,
        example: dspy.Example,
        prediction: dspy.Prediction,
        trace: Any = None,
        pred_name: str | None = None,
        pred_trace: Any = None,
    ) -> Any:
        """Returns the Anytime Index of one prediction, in [0, 1]; with feedback in words where a predictor is named.

        Args:
            example: What `quality` compares with.
            prediction: A prediction of `Anytime`, with its `.checkpoints`.
            trace: Given by DSPy's optimisers; the score does not depend on it.
            pred_name: Given by `dspy.GEPA`, which wants to be told what went wrong: the result is then a
                `dspy.Prediction` with the `score` and a `feedback` that says at which budgets.
            pred_trace: As `trace`.

        Raises:
            ProgramError: The prediction has no checkpoints.
            AnytimeError: `quality` returned no number in [0, q_max].
        """
        marks = self._marks(example, prediction)
        curve = _curve(marks)
        score = self.index_of(curve)
        if pred_name is None:
            return score
        states = [checkpoint.state for checkpoint in prediction.checkpoints]
        return dspy.Prediction(score=score, feedback=feedback_on(curve, self.q_max, states, marks[-1].feedback))

    def index_of(self, curve: AnytimeCurve) -> float:
        """Returns the Anytime Index of a curve, read as this metric does."""
        return curve.index(best_so_far=self.best_so_far, axis=self.axis, q_max=self.q_max)

    def curve(self, example: dspy.Example, prediction: dspy.Prediction) -> AnytimeCurve:
        """Returns the quality at each checkpoint; raises as the metric itself does."""
        return _curve(self._marks(example, prediction))

    def quality_of(self, example: dspy.Example, prediction: dspy.Prediction) -> float:
        """Returns the quality of one answer, in [0, q_max].

        Raises:
            AnytimeError: `quality` returned no number in [0, q_max].
        """
        return self._mark(example, prediction, "").quality

    def _marks(self, example: dspy.Example, prediction: dspy.Prediction) -> list[_Mark]:
        checkpoints: Sequence[Checkpoint] = getattr(prediction, "checkpoints", None) or ()
        if not checkpoints:
            raise ProgramError("the prediction has no checkpoints to score: wrap the program in ad.Anytime(...)")
        return [
            replace(self._mark(example, one.prediction, f" at budget {one.budget}"), budget=one.budget)
            if one.answered
            else _Mark(0.0, budget=one.budget)
            for one in checkpoints
        ]

    def _mark(self, example: dspy.Example, prediction: dspy.Prediction, where: str) -> _Mark:
        value = self.quality(example, prediction, *_NOTHING_MORE[: _wants(self.quality) - 2])
        said = value.get("feedback", None) if isinstance(value, dspy.Prediction) else None
        number = _number(value)
        if not 0.0 <= number <= self.q_max:
            returned = " ".join(repr(value).split())
            raise AnytimeError(
                f"the quality function must return a number in [0, {self.q_max:g}], but returned {returned}{where}"
            )
        return _Mark(number, None if said is None else str(said))


@dataclass(frozen=True)
class _Mark:
    """What the quality function said of one checkpoint."""

    quality: float
    feedback: str | None = None
    budget: int = 0


# A metric for dspy.GEPA may insist on being told a trace, a predictor and its trace.
_NOTHING_MORE = (None, None, None)


def _wants(quality: Callable[..., Any]) -> int:
    """How many arguments a quality function insists on, two at least."""
    try:
        parameters = inspect.signature(quality).parameters.values()
    except (TypeError, ValueError):  # some written in C do not say
        return 2
    required = (
        p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    )
    return max(2, sum(1 for _ in required))


def _number(value: Any) -> float:
    """A score as DSPy's Evaluate takes it: whatever counts as a number, or a prediction that has one; NaN else."""
    score = value.get("score", None) if isinstance(value, dspy.Prediction) else value
    if not hasattr(type(score), "__float__") and not hasattr(type(score), "__index__"):
        return math.nan
    try:
        return float(score)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _curve(marks: Sequence[_Mark]) -> AnytimeCurve:
    return AnytimeCurve(tuple(mark.budget for mark in marks), tuple(mark.quality for mark in marks))
