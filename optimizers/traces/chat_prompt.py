"""What a predictor was asked, as messages: what a trace of it is an answer to."""

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
    """The messages that a predictor sends.

    Attributes:
        messages: In the form of OpenAI's API, as the adapter in use formats them: with "role" and "content".
        opening: With which the answer to them begins, before its reasoning; empty where reasoning is no part of it, or
            the format's answer cannot be begun.
    """

    messages: tuple[Mapping[str, Any], ...]
    opening: str


def prompts_of(student: Anytime, runs: Sequence[Sequence[Call]]) -> dict[str, Prompt]:
    """Returns the student's own prompt for each predictor that began with the same inputs in all runs.

    The style that a run was sampled under is left out: it is the plain prompt that is to be answered as well. Later
    steps of a program are asked different things in different runs, so their answers cannot be compared.

    Args:
        student: The program that was sampled.
        runs: The calls of each of its runs on one example.
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
    """Returns a predictor's first call, None where it was never called."""
    return next((call for call in calls if call.predictor == predictor), None)
