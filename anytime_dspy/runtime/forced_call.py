"""Forces a predictor's answer from a given reasoning, by replaying a tape that holds it as a truncated message."""

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
from anytime_dspy.runtime.generation import GeneratedMessage
from anytime_dspy.runtime.predictors import lm_of
from anytime_dspy.runtime.tape import Recorded, Replay, Tape
from anytime_dspy.runtime.tracker import BudgetTracker

__all__ = ["forced_call"]


def forced_call(
    predictor: dspy.Predict, inputs: Mapping[str, Any], reasoning: str, *, name: str, answer_tokens: int
) -> Call:
    """Forces the answer of a predictor that has reasoned so far. Only the answer is charged to a surrounding budget.

    Args:
        predictor: A predictor with a reasoning field; its LM is its own or that of the surrounding `dspy.context`.
        inputs: Its inputs.
        reasoning: Its reasoning; "" for an answer without any.
        name: The predictor's name in its program.
        answer_tokens: The most tokens of the answer.

    Returns:
        The call, with the given reasoning.

    Raises:
        AnytimeError: The LM cannot be called under a budget.
    """
    counter = counter_for(lm_of(predictor))
    field = formats.reasoning_fields(predictor.signature)[0]
    text = formats.begun(dspy.settings.adapter or dspy.ChatAdapter(), field, reasoning)
    tokens = max(1, counter.count(text))
    message = GeneratedMessage(Completion(text, truncated=True), Allowance(tokens, answer_tokens))
    tracker = BudgetTracker(
        Budget(tokens=tokens), answer_tokens, parent=current_tracker(), names={id(predictor): name}, ceiling=tokens
    )
    with enforce(tracker, _Prewritten(message=message)), dspy.context(trace=None, send_stream=None):
        predictor(**inputs)
    [call] = tracker.calls
    return replace(call, reasoning=reasoning)


class _OneMessage:
    """A track of calls that holds one message, whatever the key."""

    def __init__(self, message: GeneratedMessage) -> None:
        self._message = message

    def next(self, key: Hashable) -> Recorded[GeneratedMessage]:
        return Recorded(self._message, 0)

    def add(self, key: Hashable, value: GeneratedMessage) -> None:
        """Does nothing: the message is there already."""

    def replace(self, key: Hashable, recorded: Recorded[GeneratedMessage], value: GeneratedMessage) -> None:
        """Does nothing: the message stays."""


@dataclass(frozen=True)
class _Prewritten(Tape):
    """A tape that holds one message for any call."""

    message: Any = None

    def replay(self) -> Replay:
        return replace(super().replay(), calls=_OneMessage(self.message))  # type: ignore[arg-type]
