"""The chat messages that a predictor sends: the prompt that its traces answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.calls import formats
from anytime_dspy.checkpoint import Call

__all__ = ["Prompt", "first_call", "prompts_of"]


@dataclass(frozen=True)
class Prompt:
    """The prompt of a predictor.

    Attributes:
        messages: Messages in the form of OpenAI's API ("role" and "content"), as the current adapter formats them.
        opening: The text before the reasoning in the reply, such as a field header; empty if the reply has no
            reasoning, or its format cannot be prefilled.
    """

    messages: tuple[Mapping[str, Any], ...]
    opening: str


def prompts_of(student: Anytime, runs: Sequence[Sequence[Call]]) -> dict[str, Prompt]:
    """Returns the student's own prompt for each predictor whose first call had the same inputs in all runs.

    The prompt is the student's plain one, without the instruction style of a sample, because that is the prompt to
    improve on. Later steps of a program get different inputs in different runs, so their replies cannot be compared.

    Args:
        student: The sampled program.
        runs: The calls of each run on one example.
    """
    adapter = dspy.settings.adapter or dspy.ChatAdapter()
    prompts = {}
    for name, predictor in student.named_predictors():
        begun = [first_call(calls, name) for calls in runs]
        asked = [call.inputs for call in begun if call is not None]
        if len(asked) == len(runs) and all(inputs == asked[0] for inputs in asked):
            messages = adapter.format(predictor.signature, list(predictor.demos), dict(asked[0]))
            reasoning = formats.reasoning_fields(predictor.signature)
            opening = formats.opening(adapter, reasoning[0]) if reasoning else None
            prompts[name] = Prompt(tuple(messages), opening or "")
    return prompts


def first_call(calls: Sequence[Call], predictor: str) -> Call | None:
    """Returns a predictor's first call; None if it was never called."""
    return next((call for call in calls if call.predictor == predictor), None)
