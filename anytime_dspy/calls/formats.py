"""Where the reasoning ends and the answer begins, in each of DSPy's prompt formats.

All that depends on how an adapter writes its fields is here: a new format, or a new version of DSPy, changes this file
only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import takewhile
from typing import Any, NamedTuple, cast
from xml.sax.saxutils import escape, unescape

import dspy
from pydantic import TypeAdapter

from anytime_dspy._dspy import parse_value

__all__ = [
    "CHAT_END",
    "CHAT_STOPS",
    "MESSAGE_STOP",
    "Passage",
    "Split",
    "answer_fields",
    "answer_stops",
    "begins_field",
    "begun",
    "completion_end",
    "is_complete",
    "is_empty_field",
    "opening",
    "reasoning_fields",
    "reasoning_value",
    "split",
]

REASONING_NAMES = frozenset({"reasoning", "rationale", "thought", "thoughts", "next_thought", "thinking"})
CHAT_END = "[[ ## completed ## ]]"
CHAT_STOPS = (f"\n{CHAT_END}", f"{CHAT_END}\n")
"""The end mark at the start or the end of a line; in the middle of a line it is a quotation."""

MESSAGE_STOP = "\n[[ ## completed"
"""The stop string of a prefilled message: the rest of the end mark is not worth its tokens."""

_CHAT_HEADER = re.compile(r"\[\[ ## (\w+) ## \]\]")
_CLOSING_MARK = re.compile(rf"{re.escape(CHAT_END)}[ \t\r]*$", re.MULTILINE)
_LINE_BREAKS = frozenset(
    "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
)  # those of str.splitlines, by which DSPy finds its headers


class Passage(NamedTuple):
    """A part of the text before the answer, without headers, and its offset in the completion."""

    text: str
    at: int


class Split(NamedTuple):
    """A completion, split at its answer.

    Attributes:
        passages: The text before the first header, and each reasoning field.
        answer_at: The offset of the answer's header; None if the completion has no answer.
    """

    passages: tuple[Passage, ...]
    answer_at: int | None

    @property
    def reasoning(self) -> str:
        """The text before the answer."""
        return "\n\n".join(passage.text for passage in self.passages)


class _Header(NamedTuple):
    """A field's header, and the offsets of its start and end."""

    field: str
    at: int
    end: int


def reasoning_fields(signature: type[dspy.Signature]) -> tuple[str, ...]:
    """Returns the leading output fields that hold reasoning, by their type (dspy.Reasoning) or their name.

    The last output field is always an answer.

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


def _names(signature: type[dspy.Signature]) -> tuple[str, ...]:
    return _fields(cast(Any, signature))[2]


@lru_cache(maxsize=256)  # DSPy computes a signature's fields at every access
def _fields(signature: Any) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Returns the names of the reasoning fields, of the answer fields, and of both."""
    fields = signature.output_fields
    leading = takewhile(lambda name: name in REASONING_NAMES or fields[name].annotation is dspy.Reasoning, fields)
    reasoning = tuple(leading)[: len(fields) - 1]
    return reasoning, tuple(fields)[len(reasoning) :], tuple(fields)


def opening(adapter: dspy.Adapter, field: str) -> str | None:
    """Returns the header that opens a field in an assistant message, None if the format cannot be continued.

    Only the chat format can be continued at any point: in JSON and XML the cut text would be inside an open string or
    element.
    """
    return f"[[ ## {field} ## ]]\n" if _is_chat(adapter) else None


def begun(adapter: dspy.Adapter, field: str, text: str) -> str:
    """Returns a message that was cut off right after `text`, which is its first field so far.

    Example:
        >>> begun(dspy.JSONAdapter(), "reasoning", "3 + 4")
        '{"reasoning": "3 + 4'
    """
    if isinstance(adapter, dspy.JSONAdapter):
        return f'{{"{field}": {json.dumps(text, ensure_ascii=False)[:-1]}'
    if isinstance(adapter, dspy.XMLAdapter):
        return f"<{field}>\n{escape(text)}"
    return f"[[ ## {field} ## ]]\n{text}"


def answer_stops(signature: type[dspy.Signature], *, at_any_header: bool) -> tuple[str, ...]:
    r"""Returns the stop strings of a forced answer in the chat format.

    Args:
        signature: The signature of the call.
        at_any_header: Whether the LM writes nothing but fields. The first characters of any header then end the answer
            if it has one field.
    """
    opened, closed = CHAT_STOPS
    alone = at_any_header and len(answer_fields(signature)) == 1
    return (f"\n{CHAT_END[:5]}" if alone else opened), closed


def completion_end(adapter: dspy.Adapter, signature: type[dspy.Signature], text: str) -> int:
    """Returns the offset of the end mark of a completion, or its length if it has none.

    As in DSPy, the mark counts at the start of a line, if no field follows it. In an answer without such a mark it also
    counts at the end of a line, where small models put it. Anywhere else it is a quotation.

    Args:
        adapter: The adapter whose format the completion is in.
        signature: The signature of the call.
        text: What the LM wrote, without its thinking; it may be cut off anywhere.

    Example:
        >>> completion_end(dspy.ChatAdapter(), dspy.Signature("question -> answer"), "42 [[ ## comple")
        3
    """
    if not _is_chat(adapter):
        return len(text)
    headers = _chat_headers(text)
    fields = _first(headers, _names(signature))
    begun = max((header.at for header in fields), default=-1)
    ends = (header.at for header in headers if header.field == "completed" and header.at > begun)
    end = next(ends, None)
    if end is not None:
        return end
    if fields and fields[-1].field in reasoning_fields(signature):
        return len(text)
    sloppy = _CLOSING_MARK.search(text, max(begun, 0))
    if sloppy:
        return sloppy.start()
    # The mark may be cut off too; half of it is no part of the answer.
    half = text.rfind(CHAT_END[:2], -len(CHAT_END))
    return half if half >= 0 and CHAT_END.startswith(text[half:]) else len(text)


def is_complete(adapter: dspy.Adapter, signature: type[dspy.Signature], text: str) -> bool:
    """Whether a text shows that it is complete, even if it filled its cap.

    Example:
        >>> asked = dspy.Signature("question -> answer")
        >>> [is_complete(dspy.JSONAdapter(), asked, text) for text in ('{"answer": "42"}', '{"answer": "42')]
        [True, False]
    """
    if isinstance(adapter, dspy.JSONAdapter):
        try:
            json.JSONDecoder(strict=False).raw_decode(text, max(text.find("{"), 0))
        except ValueError:
            return False
        return True
    if isinstance(adapter, dspy.XMLAdapter):
        return re.search(r"</\w+>\s*$", text) is not None
    return completion_end(adapter, signature, text) < len(text)


def is_empty_field(adapter: dspy.Adapter, signature: type[dspy.Signature], field: str, text: str) -> bool:
    """Whether a text says that a field is empty, by quotes or tags around nothing.

    Example:
        >>> asked = dspy.Signature("question -> answer")
        >>> is_empty_field(dspy.JSONAdapter(), asked, "answer", '{"answer": ""}')
        True
        >>> is_empty_field(dspy.ChatAdapter(), asked, "answer", "[[ ## answer ## ]]")
        False
    """
    if isinstance(adapter, dspy.JSONAdapter):
        return re.search(rf'"{field}"\s*:\s*""', text) is not None
    return isinstance(adapter, dspy.XMLAdapter) and begins_field(adapter, signature, field, text)


def split(adapter: dspy.Adapter, signature: type[dspy.Signature], text: str, end: int | None = None) -> Split:
    """Splits a completion at its answer.

    Args:
        adapter: The adapter whose format the completion is in.
        signature: The signature of the call.
        text: What the LM wrote; it may be cut off anywhere.
        end: The offset of its end mark; by default there is none.
    """
    answers = answer_fields(signature)
    headers = _headers(adapter, signature, text)
    if end is not None:
        headers = [header for header in headers if header.end <= end]
    answer_at = next((header.at for header in headers if header.field in answers), None)
    end = _without_half_a_header(adapter, signature, text[:end]) if answer_at is None else answer_at
    found, field, begun = [], None, 0
    for header in headers:
        if header.end <= end:
            found.append(_passage(adapter, field, text[begun : header.at], begun))
            field, begun = header.field, header.end
    found.append(_passage(adapter, field, text[begun:end], begun))
    return Split(tuple(passage for passage in found if passage.text), answer_at)


def begins_field(adapter: dspy.Adapter, signature: type[dspy.Signature], field: str, text: str) -> bool:
    """Whether a text has a field's header."""
    return any(header.field == field for header in _headers(adapter, signature, text))


def _is_chat(adapter: dspy.Adapter) -> bool:
    return isinstance(adapter, dspy.ChatAdapter) and not isinstance(adapter, (dspy.JSONAdapter, dspy.XMLAdapter))


def _headers(adapter: dspy.Adapter, signature: type[dspy.Signature], text: str) -> list[_Header]:
    """Returns the first header of each output field, by offset."""
    if isinstance(adapter, dspy.JSONAdapter):
        pattern = r'(?:,\s*)?"{}"\s*:'
    elif isinstance(adapter, dspy.XMLAdapter):
        pattern = r"<{}\b[^>]*>"
    else:
        return _first(_chat_headers(text), _names(signature))
    found = ((name, re.search(pattern.format(name), text)) for name in _names(signature))
    headers = (_Header(name, match.start(), match.end()) for name, match in found if match)
    return sorted(headers, key=lambda header: header.at)


@lru_cache(maxsize=256)  # several times for each text
def _chat_headers(text: str) -> tuple[_Header, ...]:
    """Returns the headers at the start of a line, as DSPy does; elsewhere they are quotations."""
    found = (match for match in _CHAT_HEADER.finditer(text) if _opens_a_line(text, match.start()))
    return tuple(_Header(match[1], match.start(), match.end()) for match in found)


def _opens_a_line(text: str, at: int) -> bool:
    if at == 0 or text[at - 1] in _LINE_BREAKS:
        return True
    before = text[:at]
    gap = before[len(before.rstrip()) :]
    return len(gap) == at or not _LINE_BREAKS.isdisjoint(gap)


def _first(headers: Sequence[_Header], names: Sequence[str]) -> list[_Header]:
    first: dict[str, _Header] = {}
    for header in headers:
        if header.field in names:
            first.setdefault(header.field, header)
    return list(first.values())


def _without_half_a_header(adapter: dspy.Adapter, signature: type[dspy.Signature], text: str) -> int:
    """Returns the length of a text without a header that was cut off at its end."""
    at = text.rfind(CHAT_END[:2]) if _is_chat(adapter) else -1
    if at < 0 or not _opens_a_line(text, at):
        return len(text)
    headers = (f"[[ ## {name} ## ]]" for name in (*_names(signature), "completed"))
    return at if any(header.startswith(text[at:]) for header in headers) else len(text)


def _passage(adapter: dspy.Adapter, field: str | None, text: str, at: int) -> Passage:
    """Returns a reasoning field's value, or the text before the first header if `field` is None."""
    if isinstance(adapter, dspy.JSONAdapter):
        # A remark before the JSON object ends where the object, perhaps in a code fence, begins.
        remark = re.sub(r'(?:```\w*\s*)?\{\s*(?:"[^{]*)?$', "", text).strip() if field is None else None
        return Passage(_json_text(text.strip()) if remark is None else remark, at)
    if isinstance(adapter, dspy.XMLAdapter):
        return Passage(unescape(re.sub(rf"</{field}>\s*$", "", text), {"&quot;": '"', "&apos;": "'"}).strip(), at)
    return Passage(text.strip(), at + len(text) - len(text.lstrip()))


def _json_text(value: str) -> str:
    """Returns a JSON string as text, and any other value unchanged."""
    return _unescaped(re.sub(r'"\s*\}?\s*$', "", value[1:])) if value.startswith('"') else value


def _unescaped(value: str) -> str:
    """Undoes JSON's escapes; an escape that was cut off is dropped."""
    longest = len(r"\ud83e\udd8a")  # two escapes may be one character
    for end in range(len(value), max(-1, len(value) - longest), -1):
        try:
            text = str(json.loads(f'"{value[:end]}"', strict=False))
            text.encode()
        except ValueError:
            continue
        return text.strip()
    return value.strip()


def reasoning_value(signature: type[dspy.Signature], text: str) -> dict[str, Any]:
    """Returns the values of the reasoning fields, in their types, for a reasoning text."""
    first, *rest = reasoning_fields(signature) or (None,)
    if first is None:
        return {}
    return {first: text_as(text, signature.output_fields[first].annotation), **dict.fromkeys(rest)}


def text_as(text: str, annotation: Any) -> Any:
    """Returns an LM's text, perhaps cut off, as a value of a field's type; None where that is not possible.

    It is parsed as DSPy parses a whole field. A list takes a text that is no list as its only item.

    Example:
        >>> text_as('["so", "the', list[str]), text_as("so the", list[str]), text_as("", list[str])
        (['so', 'the'], ['so the'], [])
    """
    if annotation is dspy.Reasoning:
        return dspy.Reasoning(content=text)
    with suppress(ValueError):  # pydantic's error is one
        return parse_value(text, annotation)
    with suppress(ValueError):
        return TypeAdapter(annotation).validate_python([text] if text else [])
    return None
