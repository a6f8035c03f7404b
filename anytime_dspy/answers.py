"""Which answers are the same, for any program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import dspy

from anytime_dspy.calls.formats import REASONING_NAMES
from anytime_dspy.checkpoint import Call, Checkpoint

if TYPE_CHECKING:
    from anytime_dspy.storage.run_folder import ScoredCheckpoint

__all__ = ["AnswerKey", "answer_text", "answer_values", "is_answered", "key_at"]

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

    A value of None is an answer too, if one was read: ask `key_at` or `is_answered` whether one was.

    Example:
        >>> answer_text(dspy.Prediction(reasoning="3 + 4", answer=" Seven  pens"))
        'seven pens'
        >>> answer_text(dspy.Prediction(reasoning="It has no date.", year=None))
        'null'
        >>> answer_text(dspy.Prediction(reasoning="3 + 4")) is None
        True
    """
    values = answer_values(prediction).values()
    texts = ("null" if value is None else " ".join(str(value).split()).casefold() for value in values)
    return "\n".join(texts) if values else None


def is_answered(prediction: dspy.Prediction, calls: Sequence[Call]) -> bool:
    """Whether an answer could be read: of every call or, at least, for every field of what the program returned.

    An agent may answer well though a step of it was no good. A field that holds nothing is an answer where the call
    that this prediction comes from gave it so.

    Args:
        prediction: What the program returned.
        calls: Its calls under a budget.
    """
    if all(call.answered for call in calls):
        return True
    values = dict(prediction.items())
    given = [call for call in calls if all(values.get(name, value) is value for name, value in call.outputs.items())]
    read = {name for call in given for name in call.outputs if name not in call.unread}
    return all(
        name in read or not (value is None or (isinstance(value, str) and not value))
        for name, value in answer_values(prediction).items()
    )


def key_at(point: Checkpoint | ScoredCheckpoint, answer_key: AnswerKey) -> str | None:
    """Returns the canonical answer at a checkpoint, of a stored run too, None where it is unanswered."""
    if not point.answered:
        return None
    prediction = point.prediction
    return answer_key(prediction if isinstance(prediction, dspy.Prediction) else dspy.Prediction(**prediction))
