"""Reads a request: which fields it asks for, with which inputs, and whether it asks for a forced answer.

Replies should depend on the fields of a request and not on the words around them, which may change. The only sentences
read here are those in which DSPy's adapters say which fields they want.
"""

from __future__ import annotations

import re

from anytime_dspy._dspy import lm15

__all__ = [
    "asked_for",
    "demos_of",
    "inputs_of",
    "is_forced",
    "prefill_of",
    "prompt_of",
    "question_of",
    "system_of",
]


def prompt_of(request: lm15.Request) -> str:
    """Returns all texts of a request as one."""
    return "\n".join([system_of(request), *(_text(message) for message in request.messages)])


def system_of(request: lm15.Request) -> str:
    """Returns the system message: the instructions and the description of the fields."""
    return request.system if isinstance(request.system, str) else ""


def question_of(request: lm15.Request) -> str:
    """Returns the last user message."""
    return next(_text(message) for message in reversed(request.messages) if message.role == "user")


def prefill_of(request: lm15.Request) -> str | None:
    """Returns the assistant message that the LM is to continue; None where the request has none."""
    last = request.messages[-1]
    return _text(last) if last.role == "assistant" else None


def demos_of(request: lm15.Request) -> list[str]:
    """Returns the assistant messages of the demonstrations."""
    before = request.messages[:-1]
    return [_text(message) for message in before if message.role == "assistant"]


def asked_for(request: lm15.Request) -> tuple[str, ...]:
    """Returns the names of the output fields that a request asks for, in the format of any adapter of DSPy."""
    asked = question_of(request).rsplit("Respond with", 1)[-1]
    names = re.findall(r"`(?:\[\[ ## |<)?(\w+)(?: ## \]\]|>)?`", asked)
    return tuple(name for name in dict.fromkeys(names) if name != "completed")


def inputs_of(request: lm15.Request) -> dict[str, str]:
    """Returns the input fields of the last user message, which has to be in the chat adapter's format."""
    body = question_of(request).rsplit("Respond with", 1)[0]
    _, *parts = re.split(r"^\[\[ ## (\w+) ## \]\]\n", body, flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


def is_forced(request: lm15.Request) -> bool:
    """Whether a request asks a chain of thought for its answer alone: continued, or without the field `reasoning`."""
    return prefill_of(request) is not None or "reasoning" not in asked_for(request)


def _text(message: lm15.Message) -> str:
    """Returns the text of a message; `Message.text` is None where it has parts of other kinds too."""
    return "\n".join(part.text for part in message.parts if isinstance(getattr(part, "text", None), str))
