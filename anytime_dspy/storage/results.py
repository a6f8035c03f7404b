"""What a run keeps of an example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue
from pydantic_core import to_jsonable_python

from anytime_dspy.checkpoint import AnswerState, Checkpoint, Usage, answer_state

__all__ = ["ExampleResult", "Point", "as_json", "result_from"]


@dataclass(frozen=True)
class Point:
    """One checkpoint of one example, scored.

    Attributes:
        budget: The cap on reasoning tokens.
        quality: What the quality function gave, 0 where there was no answer.
        prediction: The output fields.
        reasoning_tokens: Reasoning spent, at most `budget`.
        answer_tokens: Tokens of the answers.
        forced: Whether an answer had to be asked for because the budget ran out.
        answered: Whether an answer could be read.
        usage: What a run at this budget costs.
        censored: Whether an answer filled its allowance before it was complete; not known of runs of older versions.
    """

    budget: int
    quality: float
    prediction: dict[str, JsonValue]
    reasoning_tokens: int
    answer_tokens: int
    forced: bool
    answered: bool
    usage: Usage
    censored: bool = False

    @property
    def state(self) -> AnswerState:
        """What the answer is; see `Checkpoint.state`."""
        return answer_state(answered=self.answered, censored=self.censored)


@dataclass(frozen=True)
class ExampleResult:
    """All that a run keeps of one example.

    Attributes:
        id: Unique in the run; comparisons of two runs are paired by it.
        inputs: The example's input fields.
        points: One a budget, budgets increasing; empty where `error` is set.
        trace: One mapping an LM call: the predictor, its reasoning and answer texts, their tokens.
        error: What went wrong where the example could not be run; such an example is tried again by the next run.
    """

    id: str
    inputs: dict[str, JsonValue]
    points: tuple[Point, ...]
    trace: tuple[dict[str, JsonValue], ...] = ()
    error: str | None = None


def result_from(
    example_id: str,
    inputs: Mapping[str, Any],
    checkpoints: Sequence[Checkpoint],
    qualities: Sequence[float],
    trace: Sequence[Mapping[str, Any]] = (),
) -> ExampleResult:
    """Puts a scored prediction into the form in which a run keeps it.

    Args:
        example_id: Unique in the run.
        inputs: The example's input fields; values that JSON cannot hold become their `str`.
        checkpoints: The prediction's `.checkpoints`.
        qualities: One a checkpoint, as in `AnytimeIndex.curve(...).qualities`.
        trace: One mapping an LM call.
    """
    return ExampleResult(
        id=example_id,
        inputs=as_json(inputs),
        points=tuple(
            Point(
                budget=checkpoint.budget,
                quality=quality,
                prediction=as_json(dict(checkpoint.prediction.items())),
                reasoning_tokens=checkpoint.reasoning_tokens,
                answer_tokens=checkpoint.answer_tokens,
                forced=checkpoint.forced,
                answered=checkpoint.answered,
                usage=checkpoint.usage,
                censored=checkpoint.censored,
            )
            for checkpoint, quality in zip(checkpoints, qualities, strict=True)
        ),
        trace=tuple(as_json(call) for call in trace),
    )


def as_json(value: Mapping[str, Any]) -> Any:
    """Returns a mapping whose values JSON can hold: the others become their `str`, a NaN null."""
    return to_jsonable_python(value, inf_nan_mode="null", bytes_mode="base64", fallback=str)
