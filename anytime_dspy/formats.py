"""Where the reasoning ends and the answer begins, in each of DSPy's prompt formats.

Everything that depends on how an adapter writes its fields stands here, so that another format, or DSPy's next
version, is a change to this file alone.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from itertools import takewhile
from typing import Any, NamedTuple, cast

import dspy

from anytime_dspy.typed import text_as

__all__ = [
    "CHAT_END",
    "Split",
    "answer_fields",
    "completion_end",
    "has_field",
    "is_complete",
    "is_empty_field",
    "opening",
    "reasoning_fields",
    "reasoning_value",
    "split",
]

REASONING_NAMES = frozenset({"reasoning", "rationale", "thought", "thoughts", "next_thought", "thinking"})
CHAT_END = "[[ ## completed ## ]]"


class Split(NamedTuple):
    """A completion, taken apart.

    Attributes:
        reasoning: The text before the answer, without the header of its own field.
        head: What stands before it: its header, or nothing where the LM left that out. Empty in the formats whose
            messages cannot be continued.
        answer_at: Where in the completion the answer's header begins; None where no answer was begun.
    """

    reasoning: str
    head: str
    answer_at: int | None


def reasoning_fields(signature: type[dspy.Signature]) -> tuple[str, ...]:
    """Returns the leading output fields that hold reasoning, by their type (dspy.Reasoning) or their name.

    At least one output field is always left to be the answer.

    Example:
        >>> reasoning_fields(dspy.ChainOfThought("question -> answer").predict.signature)
        ('reasoning',)
        >>> reasoning_fields(dspy.Signature("question -> answer"))
        ()
    """
    return _fields(cast(Any, signature))[0]


def answer_fields(signature: type[dspy.Signature]) -> tuple[str, ...]:
    """Returns the output fields that are not reasoning."""
    return _fields(cast(Any, signature))[1]


@lru_cache(maxsize=256)  # DSPy puts a signature's fields together anew whenever it is asked for them
def _fields(signature: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    fields = signature.output_fields
    leading = takewhile(lambda name: name in REASONING_NAMES or fields[name].annotation is dspy.Reasoning, fields)
    reasoning = tuple(leading)[: len(fields) - 1]
    return reasoning, tuple(fields)[len(reasoning) :]


def opening(adapter: dspy.Adapter, field: str) -> str | None:
    """Returns the text with which an assistant's message opens a field, or None where a message cannot be continued.

    Only the chat format can be continued at any point: in JSON and XML the cut text would stand inside an open string
    or element.
    """
    return f"[[ ## {field} ## ]]\n" if _is_chat(adapter) else None


def completion_end(adapter: dspy.Adapter, text: str) -> int:
    """Returns where a completion says that it is complete (what follows is no part of it), else its length.

    Example:
        >>> completion_end(dspy.ChatAdapter(), "42 [[ ## comple")
        3
    """
    if not _is_chat(adapter):
        return len(text)
    end = text.find(CHAT_END)
    if end < 0:
        # The mark itself may have been cut off: half of it is no part of the answer either.
        end = text.rfind(CHAT_END[:2], -len(CHAT_END))
        end = end if end >= 0 and CHAT_END.startswith(text[end:]) else len(text)
    return end


def is_complete(adapter: dspy.Adapter, text: str) -> bool:
    """Whether a text shows by itself that it was written to its end, whatever cap it filled.

    Example:
        >>> is_complete(dspy.JSONAdapter(), '{"answer": "42"}'), is_complete(dspy.JSONAdapter(), '{"answer": "42')
        (True, False)
    """
    if isinstance(adapter, dspy.JSONAdapter):
        try:
            json.JSONDecoder(strict=False).raw_decode(text, max(text.find("{"), 0))
        except ValueError:
            return False
        return True
    if isinstance(adapter, dspy.XMLAdapter):
        return re.search(r"</\w+>\s*$", text) is not None
    return completion_end(adapter, text) < len(text)


def has_field(adapter: dspy.Adapter, text: str, field: str) -> bool:
    """Whether a text has a field's header, key or tag."""
    return _field_at(adapter, text, field) is not None


def is_empty_field(adapter: dspy.Adapter, text: str, field: str) -> bool:
    """Whether a text says of a field that it is empty, by quotes or tags around nothing.

    Example:
        >>> is_empty_field(dspy.JSONAdapter(), '{"answer": ""}', "answer")
        True
        >>> is_empty_field(dspy.ChatAdapter(), "[[ ## answer ## ]]", "answer")
        False
    """
    if isinstance(adapter, dspy.JSONAdapter):
        return re.search(rf'"{field}"\s*:\s*""', text) is not None
    return isinstance(adapter, dspy.XMLAdapter) and has_field(adapter, text, field)


def split(adapter: dspy.Adapter, signature: type[dspy.Signature], text: str) -> Split:
    """Takes a completion apart into its reasoning and the place where its answer begins.

    Args:
        adapter: The adapter whose format the completion is written in.
        signature: The signature that the completion answers.
        text: What the LM wrote, perhaps cut off anywhere.
    """
    answers = answer_fields(signature)
    starts = [at for at in (_field_at(adapter, text, name) for name in answers) if at is not None]
    answer_at = min(starts, default=None)
    before = text if answer_at is None else text[:answer_at]
    head, reasoning = _body(adapter, (reasoning_fields(signature) or answers)[0], before)
    return Split(reasoning, head, answer_at)


def _is_chat(adapter: dspy.Adapter) -> bool:
    return isinstance(adapter, dspy.ChatAdapter) and not isinstance(adapter, (dspy.JSONAdapter, dspy.XMLAdapter))


def _field_at(adapter: dspy.Adapter, text: str, field: str) -> int | None:
    if isinstance(adapter, dspy.JSONAdapter):
        pattern = rf'(?:,\s*)?"{field}"\s*:'
    elif isinstance(adapter, dspy.XMLAdapter):
        pattern = rf"<{field}\b[^>]*>"
    else:
        pattern = rf"^[ \t]*\[\[ ## {field} ## \]\]"
    found = re.search(pattern, text, re.MULTILINE)
    return found.start() if found else None


def _body(adapter: dspy.Adapter, field: str, text: str) -> tuple[str, str]:
    """Returns the value of the reasoning field in `text`, the text before the answer; first what stands before it."""
    if isinstance(adapter, dspy.JSONAdapter):
        value = re.sub(rf'^.*?"{field}"\s*:\s*"', "", text, count=1, flags=re.DOTALL)
        if value == text:  # a list or an object, if any
            return "", re.sub(rf'^.*?"{field}"\s*:\s*', "", text, count=1, flags=re.DOTALL).rstrip()
        return "", _unescaped(re.sub(r'"\s*$', "", value))
    if isinstance(adapter, dspy.XMLAdapter):
        value = re.sub(rf"^.*?<{field}\b[^>]*>", "", text, count=1, flags=re.DOTALL)
        return "", re.sub(rf"</{field}>\s*$", "", value).strip()
    header = re.search(rf"^[ \t]*\[\[ ## {field} ## \]\]\s*", text, re.MULTILINE)
    begin = header.end() if header else len(text) - len(text.lstrip())
    return text[:begin], text[begin:].rstrip()


def _unescaped(value: str) -> str:
    """Undoes JSON's escapes; a value that was cut inside an escape loses that escape."""
    longest = len(r"\ud83e\udd8a")  # two escapes may be one character, and half of it is none
    for end in range(len(value), max(-1, len(value) - longest), -1):
        try:
            text = str(json.loads(f'"{value[:end]}"', strict=False))
            text.encode()
        except ValueError:
            continue
        return text.strip()
    return value.strip()


def reasoning_value(signature: type[dspy.Signature], text: str) -> dict[str, Any]:
    """Returns the values of the reasoning fields, in their types, when all there is of them is `text`."""
    first, *rest = reasoning_fields(signature) or (None,)
    if first is None:
        return {}
    return {first: text_as(text, signature.output_fields[first].annotation), **dict.fromkeys(rest)}
