"""Tests programs without a model: an LM that replies as a script says, and functions that read its requests."""

from anytime_dspy.testing.requests import (
    asked_for,
    demos_of,
    inputs_of,
    is_forced,
    prefill_of,
    prompt_of,
    question_of,
    system_of,
)
from anytime_dspy.testing.scripted import (
    AsyncScriptedEngine,
    Reply,
    ScriptedEngine,
    WordCounter,
    by_prompt,
    chat,
    continuing,
    scripted_lm,
    words,
)

__all__ = [
    "AsyncScriptedEngine",
    "Reply",
    "ScriptedEngine",
    "WordCounter",
    "asked_for",
    "by_prompt",
    "chat",
    "continuing",
    "demos_of",
    "inputs_of",
    "is_forced",
    "prefill_of",
    "prompt_of",
    "question_of",
    "scripted_lm",
    "system_of",
    "words",
]
