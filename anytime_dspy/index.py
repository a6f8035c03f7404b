"""The Anytime Index as a DSPy metric."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from numbers import Real
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
        quality: `quality(example, prediction) -> number in [0, q_max]`, asked about each checkpoint's prediction. A
            checkpoint without an answer has quality 0 and is not asked about. What `quality` raises is not caught.
        best_so_far: Whether the index takes the best quality so far, as in the paper. That uses the gold score, so it
            is an oracle unless quality can be checked at run time; False scores what a user gets at each budget.
        axis: "linear" as in the paper, or "log".
        q_max: The ceiling of the quality scale.

    >>> metric = AnytimeIndex(lambda example, prediction: example.answer == prediction.answer)
    >>> metric.axis
    'linear'
    """

    quality: Callable[[dspy.Example, dspy.Prediction], float]
    _: KW_ONLY
    best_so_far: bool = True
    axis: Axis = "linear"
    q_max: float = 1.0

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
        curve = self.curve(example, prediction)
        score = curve.index(best_so_far=self.best_so_far, axis=self.axis, q_max=self.q_max)
        if pred_name is None:
            return score
        states = [checkpoint.state for checkpoint in prediction.checkpoints]
        return dspy.Prediction(score=score, feedback=feedback_on(curve, self.q_max, states))

    def curve(self, example: dspy.Example, prediction: dspy.Prediction) -> AnytimeCurve:
        """Returns the quality at each checkpoint; raises as the metric itself does."""
        checkpoints = getattr(prediction, "checkpoints", None)
        if not checkpoints:
            raise ProgramError("the prediction has no checkpoints to score: wrap the program in ad.Anytime(...)")
        return AnytimeCurve(
            budgets=tuple(checkpoint.budget for checkpoint in checkpoints),
            qualities=tuple(self._quality_at(example, checkpoint) for checkpoint in checkpoints),
        )

    def _quality_at(self, example: dspy.Example, checkpoint: Checkpoint) -> float:
        if not checkpoint.answered:
            return 0.0
        value: Any = self.quality(example, checkpoint.prediction)
        number = float(value) if isinstance(value, Real) else math.nan
        if not 0.0 <= number <= self.q_max:
            raise AnytimeError(
                f"the quality function must return a number in [0, {self.q_max:g}], "
                f"but returned {value!r} at budget {checkpoint.budget}"
            )
        return number
