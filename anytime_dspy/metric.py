"""The Anytime Index as a DSPy metric."""

from __future__ import annotations

import inspect
import math
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import dspy

from anytime_dspy.checkpoint import AnswerState, Checkpoint
from anytime_dspy.curve import AnytimeCurve, Axis, anytime_index
from anytime_dspy.errors import AnytimeError, ProgramError

__all__ = ["AnytimeIndex", "anytime_index", "feedback_on"]


@dataclass(frozen=True)
class AnytimeIndex:
    """Scores a prediction by the Anytime Index over its checkpoints: a metric for Evaluate and every DSPy optimiser.

    Attributes:
        quality: `quality(example, prediction) -> number in [0, q_max]`, called for each checkpoint's prediction. Any
            DSPy metric will do, also one that returns a `dspy.Prediction` with a `score`. A checkpoint without an
            answer has quality 0 without a call. Calling the metric, and `curve`, raise what `quality` raises.
        best_so_far: Whether the index takes the best quality so far, as in the paper. That uses the true score, so it
            is an oracle unless quality can be checked at run time; False scores the answer that a user gets at each
            budget.
        axis: "linear" as in the paper, or "log".
        q_max: The ceiling of the quality scale.

    >>> metric = AnytimeIndex(lambda example, prediction: example.answer == prediction.answer)
    >>> metric.axis
    'linear'
    """

    quality: Callable[..., Any]
    best_so_far: bool = field(default=True, kw_only=True)
    axis: Axis = field(default="linear", kw_only=True)
    q_max: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        if not callable(self.quality):
            raise AnytimeError(f"quality must be a function of an example and a prediction, not {self.quality!r}")

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
        """Returns the Anytime Index of one prediction, in [0, 1]; with feedback in words if `pred_name` is given.

        Args:
            example: The first argument of `quality`.
            prediction: A prediction of `Anytime`, with its `.checkpoints`.
            trace: Passed by DSPy's optimisers; not used.
            pred_name: Passed by `dspy.GEPA`, which needs feedback. The result is then a `dspy.Prediction` with the
                `score` and a `feedback` that says at which budgets the answers were good.
            pred_trace: As `trace`.

        Raises:
            ProgramError: The prediction has no checkpoints.
            AnytimeError: `quality` returned no number in [0, q_max].
        """
        scores = self._scores(example, prediction)
        curve = _curve(prediction, scores)
        score = self.index_of(curve)
        if pred_name is None:
            return score
        states = [checkpoint.state for checkpoint in prediction.checkpoints]
        return dspy.Prediction(score=score, feedback=feedback_on(curve, self.q_max, states, scores[-1].feedback))

    def index_of(self, curve: AnytimeCurve) -> float:
        """Returns the Anytime Index of a curve, read as this metric does."""
        return curve.index(best_so_far=self.best_so_far, axis=self.axis, q_max=self.q_max)

    def curve(self, example: dspy.Example, prediction: dspy.Prediction) -> AnytimeCurve:
        """Returns the quality at each checkpoint; raises what calling the metric raises."""
        return _curve(prediction, self._scores(example, prediction))

    def quality_of(self, example: dspy.Example, prediction: dspy.Prediction) -> float:
        """Returns the quality of one answer, in [0, q_max].

        Raises:
            AnytimeError: `quality` raised, or returned no number in [0, q_max].
        """
        with self.naming(example):
            return self._score(example, prediction, "").quality

    @contextmanager
    def naming(self, example: dspy.Example) -> Iterator[None]:
        """Turns what `quality` raises in the block into an error that names it and the example.

        Raises:
            AnytimeError: `quality` raised.
        """
        try:
            yield
        except AnytimeError:
            raise
        except Exception as error:
            name = getattr(self.quality, "__qualname__", type(self.quality).__qualname__)
            own = example.get("id", None)
            which = reprlib.repr(example.toDict()) if own is None else own
            raise AnytimeError(
                f"the quality function {name} raised {type(error).__name__}: {error} on the example {which}: mend it, "
                "or leave that example out"
            ) from error

    @cached_property
    def _missing(self) -> tuple[None, ...]:
        """What `quality` requires beside an example and a prediction: a metric for dspy.GEPA may require a trace."""
        try:
            parameters = inspect.signature(self.quality).parameters.values()
        except (TypeError, ValueError):  # some functions written in C have no signature
            return ()
        required = [
            p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        return (None,) * min(3, max(0, len(required) - 2))

    def _scores(self, example: dspy.Example, prediction: dspy.Prediction) -> list[_Score]:
        checkpoints: Sequence[Checkpoint] = getattr(prediction, "checkpoints", None) or ()
        if not checkpoints:
            raise ProgramError("the prediction has no checkpoints to score: wrap the program in ad.Anytime(...)")
        return [
            self._score(example, one.prediction, f" at budget {one.budget}") if one.answered else _Score(0.0)
            for one in checkpoints
        ]

    def _score(self, example: dspy.Example, prediction: dspy.Prediction, where: str) -> _Score:
        value = self.quality(example, prediction, *self._missing)
        said = value.get("feedback", None) if isinstance(value, dspy.Prediction) else None
        number = _number(value)
        if not 0.0 <= number <= self.q_max:
            returned = " ".join(repr(value).split())
            raise AnytimeError(
                f"the quality function must return a number in [0, {self.q_max:g}], but returned {returned}{where}"
            )
        return _Score(number, None if said is None else str(said))


@dataclass(frozen=True)
class _Score:
    """The quality function's result for one checkpoint."""

    quality: float
    feedback: str | None = None


def _number(value: Any) -> float:
    """Returns a score as DSPy's Evaluate reads it: a number, or a prediction's `score`; NaN for anything else."""
    score = value.get("score", None) if isinstance(value, dspy.Prediction) else value
    if not hasattr(type(score), "__float__") and not hasattr(type(score), "__index__"):
        return math.nan
    try:
        return float(score)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _curve(prediction: dspy.Prediction, scores: Sequence[_Score]) -> AnytimeCurve:
    budgets = tuple(checkpoint.budget for checkpoint in prediction.checkpoints)
    return AnytimeCurve(budgets, tuple(score.quality for score in scores))


_STATES: Mapping[AnswerState, str] = {
    "unreadable": "no answer could be read",
    "censored": "the answer was cut off at its own allowance of tokens",
}


def feedback_on(
    curve: AnytimeCurve, q_max: float = 1.0, states: Sequence[AnswerState] = (), said: str | None = None
) -> str:
    """Returns in words at which budgets a program's answers were good, for optimisers that read feedback.

    Args:
        curve: The curve of one example.
        q_max: The ceiling of the quality scale.
        states: The states of the answers, one per budget.
        said: The quality function's own feedback on the last answer.

    >>> print(feedback_on(AnytimeCurve((16, 32), (1.0, 1.0))))
    Answer quality, where reasoning stops at 16 tokens: 1; 32 tokens: 1 (at most 1). It is best from the start.
    """
    points = "; ".join(f"{b} tokens: {q:g}" for b, q in zip(curve.budgets, curve.qualities, strict=True))
    words = [] if said is None else [f"Of its last answer: {said}"]
    told = f"Answer quality, where reasoning stops at {points} (at most {q_max:g})."
    for state, meaning in _STATES.items():
        budgets = [str(budget) for budget, one in zip(curve.budgets, states, strict=False) if one == state]
        told += f" At {', '.join(budgets)} tokens {meaning}." if budgets else ""
    best = max(curve.qualities)
    if best == 0:
        return " ".join([told, "No answer was right: the reasoning goes wrong, or does not get far enough.", *words])
    first = curve.qualities.index(best)
    advice = []
    if first:
        advice.append(
            f"The reasoning leads to its best answer only after {curve.budgets[first - 1]} tokens: "
            "bring what decides the answer earlier, and leave out the rest."
        )
    lost = [b for b, q in zip(curve.budgets, curve.qualities, strict=True) if b > curve.budgets[first] and q < best]
    if lost:
        advice.append(f"It had a better answer before, and lost it by {lost[0]} tokens: stop once the answer is known.")
    return " ".join([told, *(advice or ["It is best from the start."]), *words])
