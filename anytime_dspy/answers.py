"""Which answers are the same, for any program."""

from __future__ import annotations

from collections.abc import Callable

import dspy

from anytime_dspy.checkpoint import Checkpoint
from anytime_dspy.formats import REASONING_NAMES

__all__ = ["AnswerKey", "answer_text", "answer_values", "key_at"]

AnswerKey = Callable[[dspy.Prediction], "str | None"]
"""Returns an answer in a canonical form, None where there is none to be read. Two answers of one form are the same; a
judge is shown that form, so a reader must understand it."""

# What a program did on its way, by the names that DSPy's own modules give it.
_NOT_AN_ANSWER = REASONING_NAMES | {"trajectory"}


def answer_values(prediction: dspy.Prediction) -> dict[str, object]:
    """Returns a prediction's fields without its reasoning."""
    return {name: value for name, value in prediction.items() if name not in _NOT_AN_ANSWER}


def answer_text(prediction: dspy.Prediction) -> str | None:
    """Returns the answer fields as one text in which letter case and white space do not count.

    Example:
        >>> answer_text(dspy.Prediction(reasoning="3 + 4", answer=" Seven  pens"))
        'seven pens'
        >>> answer_text(dspy.Prediction(reasoning="3 + 4", answer=None)) is None
        True
    """
    values = [
        " ".join(str(value).split()).casefold() for value in answer_values(prediction).values() if value is not None
    ]
    return "\n".join(values) if any(values) else None


def key_at(checkpoint: Checkpoint, answer_key: AnswerKey) -> str | None:
    """Returns the canonical answer at a checkpoint, None where it is unanswered."""
    return answer_key(checkpoint.prediction) if checkpoint.answered else None
