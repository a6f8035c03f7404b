"""One predictor's answer from a reasoning that is given to it: a cut, and a short call.

It is the machinery of a sweep, with a message on the tape that no LM wrote there.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import dspy

from anytime_dspy.budgets import Budget
from anytime_dspy.calls import formats
from anytime_dspy.calls.completion import Completion
from anytime_dspy.calls.tokens import counter_for
from anytime_dspy.checkpoint import Call
from anytime_dspy.runtime.allowance import Allowance
from anytime_dspy.runtime.context import current_tracker, enforce
from anytime_dspy.runtime.generation import Message
from anytime_dspy.runtime.tape import Recorded, Replay, Tape
from anytime_dspy.runtime.tracker import BudgetTracker

__all__ = ["forced_call"]


def forced_call(
    predictor: dspy.Predict, inputs: Mapping[str, Any], reasoning: str, *, name: str, answer_tokens: int
) -> Call:
    """Asks a predictor for its answer as though it had reasoned so far, and no further.

    Of the budget around this place, if there is one, only the answer is spent.

    Args:
        predictor: It has a reasoning field; its LM is its own or that of the surrounding `dspy.context`.
        inputs: What it is called with.
        reasoning: All that it has of its reasoning; "" for an answer without any.
        name: The predictor's name in its program.
        answer_tokens: Tokens that the answer may take.

    Returns:
        The call, with the reasoning as given.

    Raises:
        AnytimeError: The LM cannot be asked under a budget at all.
    """
    counter = counter_for(predictor.lm or dspy.settings.lm)
    field = formats.reasoning_fields(predictor.signature)[0]
    text = formats.begun(dspy.settings.adapter or dspy.ChatAdapter(), field, reasoning)
    tokens = max(1, counter.count(text))
    written = Message(Completion(text, truncated=True), Allowance(tokens, answer_tokens))
    tracker = BudgetTracker(
        Budget(tokens=tokens), answer_tokens, parent=current_tracker(), names={id(predictor): name}, ceiling=tokens
    )
    with enforce(tracker, _Prewritten(message=written)), dspy.context(trace=None, send_stream=None):
        predictor(**inputs)
    [call] = tracker.calls
    return replace(call, reasoning=reasoning)


class _OneMessage:
    """Stands for the track of calls: whatever is asked first, this is what was written."""

    def __init__(self, message: Message) -> None:
        self._message = message

    def next(self, key: Hashable) -> Recorded[Message]:
        return Recorded(self._message, 0)

    def add(self, key: Hashable, value: Message) -> None:
        """Nothing is added: the message is there."""

    def replace(self, key: Hashable, recorded: Recorded[Message], value: Message) -> None:
        """Nothing replaces it."""


@dataclass(frozen=True)
class _Prewritten(Tape):
    """A tape that holds one message, be the call what it may."""

    message: Any = None

    def replay(self) -> Replay:
        return replace(super().replay(), calls=_OneMessage(self.message))  # type: ignore[arg-type]
