"""Results without the texts that were asked and answered, for data that must not be copied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dspy

from anytime_dspy.storage.run_folder import ExampleResult

__all__ = ["without_texts"]

# Of a call in a trace; all else is text, or may hold some.
COUNTS = ("predictor", "reasoning_tokens", "answer_tokens", "forced")


def without_texts(result: ExampleResult, answer_key: Callable[[Any], str | None]) -> ExampleResult:
    """Returns a result that keeps the id, the scores, the token counts and the answers' keys.

    Args:
        result: The whole result.
        answer_key: Reduces a prediction to what may be kept, such as the letter of a multiple choice; it is kept as
            the field `answer`, and no field where it is None.
    """
    return ExampleResult(
        id=result.id,
        inputs={},
        points=tuple(
            replace(point, prediction={} if key is None else {"answer": key})
            for point in result.points
            for key in [answer_key(dspy.Prediction(**point.prediction))]
        ),
        trace=tuple(
            {"reasoning": "", "outputs": {}, **{key: call[key] for key in COUNTS if key in call}}
            for call in result.trace
        ),
        # An LM's error quotes what the LM wrote; its type stands first.
        error=result.error
        and f"{result.error.partition(':')[0]}: the message is left out, it may hold the data's text",
    )
