"""Whether a trace uses its whole input: one that leaves a number out has usually left a step out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anytime_dspy.answers import AnswerKey, key_at
from anytime_dspy.optimizers.traces.trace import SampledTrace
from anytime_dspy.optimizers.traces.units import WordsOf

__all__ = ["uses_whole_input"]


def uses_whole_input(trace: SampledTrace, inputs: Mapping[str, Any], words: WordsOf, answer_key: AnswerKey) -> bool:
    """Returns whether all distinguishing words of the input occur in the working of the largest budget.

    If the answer is not in the reasoning, the answer fields count as reasoning too. A word that identifies the answer
    must occur for another reason as well.

    Args:
        trace: The trace.
        inputs: The input fields of its example.
        words: Finds the distinguishing words of an input.
        answer_key: Makes answers comparable.
    """
    last = trace.checkpoints[-1]
    answer = WordsOf.of_answer(key_at(last, answer_key) or "")
    text = "\n".join(call.reasoning for call in last.calls)
    if WordsOf.share(answer, text) < 1:
        written = (value for call in last.calls for value in call.outputs.values() if isinstance(value, str))
        text = "\n".join([text, *(value for value in written if value not in text)])
    return WordsOf.share(words.in_inputs(inputs), WordsOf.working(text, inputs), beside=answer) == 1
