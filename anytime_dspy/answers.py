"""Which answers are the same, for any program."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import dspy

from anytime_dspy.calls.formats import REASONING_NAMES
from anytime_dspy.checkpoint import BudgetOutcome, Call

__all__ = ["AnswerKey", "answer_text", "answer_values", "is_answered", "key_at"]

AnswerKey = Callable[[dspy.Prediction], "str | None"]
"""Maps a prediction to its answer in a canonical form, None where no answer can be read. Answers of the same form are
the same. Judges are shown that form, so it must be readable."""

# Fields in which DSPy's own modules return how they came to an answer.
_NOT_AN_ANSWER = REASONING_NAMES | {"trajectory"}


def answer_values(prediction: dspy.Prediction) -> dict[str, object]:
    """Returns a prediction's fields without its reasoning."""
    return {name: value for name, value in prediction.items() if name not in _NOT_AN_ANSWER}


def answer_text(prediction: dspy.Prediction) -> str | None:
    """Returns the answer fields as one text, case-folded and with white space normalised.

    None is an answer too, if it was read; `key_at` and `is_answered` tell whether one was.

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
    """Whether an answer could be read: from every call or, at least, for every field of the prediction.

    An agent may answer although one of its steps could not be read. An empty field is an answer if the call that the
    prediction comes from returned it.

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


def key_at(point: BudgetOutcome, answer_key: AnswerKey) -> str | None:
    """Returns the canonical answer at a checkpoint, stored or not; None if it is unanswered."""
    if not point.answered:
        return None
    prediction = point.prediction
    return answer_key(prediction if isinstance(prediction, dspy.Prediction) else dspy.Prediction(**prediction))
