"""What a run keeps of each example."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import dspy
from pydantic import JsonValue

from anytime_dspy.checkpoint import BudgetOutcome, Checkpoint, ScoredCheckpoint
from anytime_dspy.storage.jsonl import as_json

__all__ = ["ExampleResult", "result_from", "without_texts"]

COUNTS = ("predictor", "reasoning_tokens", "answer_tokens", "forced")
"""The parts of a stored call that hold no text."""


@dataclass(frozen=True)
class ExampleResult:
    """The result of one example.

    Attributes:
        id: Unique in the run; two runs are paired by it.
        inputs: The example's input fields.
        points: One checkpoint per budget, in ascending order; empty if there is an `error`.
        trace: One mapping per predictor call: its name, reasoning, outputs and token counts.
        error: Why the example could not be run; the next run tries it again.
    """

    id: str
    inputs: dict[str, JsonValue]
    points: tuple[ScoredCheckpoint, ...]
    trace: tuple[dict[str, JsonValue], ...] = ()
    error: str | None = None


def result_from(
    example_id: str,
    inputs: Mapping[str, Any],
    checkpoints: Sequence[Checkpoint],
    qualities: Sequence[float],
    trace: Sequence[Mapping[str, Any]] = (),
) -> ExampleResult:
    """Returns the stored form of a scored prediction; values that JSON cannot hold become their `str`.

    Args:
        example_id: Unique in the run.
        inputs: The example's input fields.
        checkpoints: The prediction's `.checkpoints`.
        qualities: One per checkpoint, in [0, 1].
        trace: One mapping per predictor call.
    """
    return ExampleResult(
        id=example_id,
        inputs=as_json(inputs),
        points=tuple(_scored(*pair) for pair in zip(checkpoints, qualities, strict=True)),
        trace=tuple(as_json(call) for call in trace),
    )


def without_texts(result: ExampleResult, answer_key: Callable[[Any], str | None]) -> ExampleResult:
    """Returns a result with its id, scores, token counts and answer keys only, for data that must not be copied.

    Args:
        result: The result.
        answer_key: Reduces a prediction to what may be kept, such as the letter of a multiple choice. It is stored as
            the field `answer`; None stores nothing.
    """
    keys = [answer_key(dspy.Prediction(**point.prediction)) for point in result.points]
    return ExampleResult(
        id=result.id,
        inputs={},
        points=tuple(
            replace(point, prediction={} if key is None else {"answer": key})
            for point, key in zip(result.points, keys, strict=True)
        ),
        trace=tuple(
            {"reasoning": "", "outputs": {}, **{key: call[key] for key in COUNTS if key in call}}
            for call in result.trace
        ),
        # An LM's error quotes what the LM wrote; the error's type comes first.
        error=result.error
        and f"{result.error.partition(':')[0]}: the message is left out, it may hold the data's text",
    )


def _scored(checkpoint: Checkpoint, quality: float) -> ScoredCheckpoint:
    shared = {field.name: getattr(checkpoint, field.name) for field in fields(BudgetOutcome)}
    prediction = as_json(dict(checkpoint.prediction.items()))
    return ScoredCheckpoint(**{**shared, "prediction": prediction, "quality": quality})
