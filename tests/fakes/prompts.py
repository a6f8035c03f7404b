"""What a request asks for, by the names of its fields: our own sentences in a prompt may change, its fields may not.

The only sentences that are read here are DSPy's, where its adapters say which fields they want.
"""

from __future__ import annotations

import re

from dspy.lm15 import Request

from anytime_dspy.optimizers.traces.styles import PLAIN, STYLES


def prompt_of(request: Request) -> str:
    """Returns all that the engine was sent, as one text."""
    return "\n".join([system_of(request), *(message.text or "" for message in request.messages)])


def system_of(request: Request) -> str:
    """Returns the system message: the instructions, and what the fields are."""
    return request.system if isinstance(request.system, str) else ""


def question_of(request: Request) -> str:
    """Returns the last user message."""
    return next(message.text or "" for message in reversed(request.messages) if message.role == "user")


def prefill_of(request: Request) -> str | None:
    """Returns the assistant message that is to be continued, None where the request has none."""
    last = request.messages[-1]
    return (last.text or "") if last.role == "assistant" else None


def demos_of(request: Request) -> list[str]:
    """Returns the answers of the demonstrations that are shown."""
    before = request.messages[:-1]
    return [message.text or "" for message in before if message.role == "assistant"]


def asked_for(request: Request) -> tuple[str, ...]:
    """Returns the names of the output fields that a prompt asks for, in any of DSPy's formats."""
    asked = question_of(request).rsplit("Respond with", 1)[-1]
    names = re.findall(r"`(?:\[\[ ## |<)?(\w+)(?: ## \]\]|>)?`", asked)
    return tuple(name for name in dict.fromkeys(names) if name != "completed")


def inputs_of(request: Request) -> dict[str, str]:
    """Returns the input fields of the last user message, where it is in the chat adapter's format."""
    body = question_of(request).rsplit("Respond with", 1)[0]
    _, *parts = re.split(r"^\[\[ ## (\w+) ## \]\]\n", body, flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


def is_forced(request: Request) -> bool:
    """Whether an answer is asked for alone, in either way: the reasoning is there already, or not wanted."""
    return prefill_of(request) is not None or "reasoning" not in asked_for(request)


def style_of(text: str) -> str:
    """Returns the name of the style whose sentence stands in a prompt, "plain" where none does."""
    for style in STYLES:
        sentence = re.escape(style.render("", (0,)).strip()).replace("0", r"\d+")
        if style is not PLAIN and re.search(sentence, text):
            return style.name
    return PLAIN.name
