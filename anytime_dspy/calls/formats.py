"""Where the reasoning ends and the answer begins, in each of DSPy's prompt formats.

Everything that depends on how an adapter writes its fields stands here, so that another format, or DSPy's next
version, is a change to this file alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile
from typing import Any, NamedTuple, cast
from xml.sax.saxutils import escape, unescape

import dspy

from anytime_dspy.calls.typed import text_as

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
"""The mark where it opens a line or closes one. In the middle of a line it is quoted."""

MESSAGE_STOP = "\n[[ ## completed"
"""What a message of ours to go on with ends at: the rest of the mark is not worth its tokens."""

_CHAT_HEADER = re.compile(r"\[\[ ## (\w+) ## \]\]")
_CLOSING_MARK = re.compile(rf"{re.escape(CHAT_END)}[ \t\r]*$", re.MULTILINE)
_LINE_BREAKS = frozenset(
    "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
)  # those of str.splitlines, by which DSPy finds its headers


class Passage(NamedTuple):
    """A piece of what was written before the answer, without headers, and where in the completion it begins."""

    text: str
    at: int


class Split(NamedTuple):
    """A completion, taken apart.

    Attributes:
        passages: What was written before the answer: what stands before the first header, and each reasoning field.
        answer_at: Where in the completion the answer's header begins; None where no answer was begun.
    """

    passages: tuple[Passage, ...]
    answer_at: int | None

    @property
    def reasoning(self) -> str:
        """All that was written before the answer, as one text."""
        return "\n\n".join(passage.text for passage in self.passages)


class _Header(NamedTuple):
    """A field's header, from its first character to the one after its last."""

    field: str
    at: int
    end: int


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


def _names(signature: type[dspy.Signature]) -> tuple[str, ...]:
    return _fields(cast(Any, signature))[2]


@lru_cache(maxsize=256)  # DSPy puts a signature's fields together anew whenever it is asked for them
def _fields(signature: Any) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Returns the names of the fields of reasoning, of those of the answer, and of both."""
    fields = signature.output_fields
    leading = takewhile(lambda name: name in REASONING_NAMES or fields[name].annotation is dspy.Reasoning, fields)
    reasoning = tuple(leading)[: len(fields) - 1]
    return reasoning, tuple(fields)[len(reasoning) :], tuple(fields)


def opening(adapter: dspy.Adapter, field: str) -> str | None:
    """Returns the text with which an assistant's message opens a field, or None where a message cannot be continued.

    Only the chat format can be continued at any point: in JSON and XML the cut text would stand inside an open string
    or element.
    """
    return f"[[ ## {field} ## ]]\n" if _is_chat(adapter) else None


def begun(adapter: dspy.Adapter, field: str, text: str) -> str:
    """Returns a message that was cut off right behind `text`, which is all of its first field so far.

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
    r"""Returns where a forced answer in the chat format is known to have ended, whatever comes after.

    Args:
        signature: The signature that the message answers.
        at_any_header: Whether the LM writes headers for fields alone, and never thinks of them in between. With one
            answer field left the first characters of any header then are enough.
    """
    opened, closed = CHAT_STOPS
    alone = at_any_header and len(answer_fields(signature)) == 1
    return (f"\n{CHAT_END[:5]}" if alone else opened), closed


def completion_end(adapter: dspy.Adapter, signature: type[dspy.Signature], text: str) -> int:
    """Returns where a completion says that it is complete (what follows is no part of it), else its length.

    As DSPy reads it, a mark counts where it opens a line, and ends nothing that a field is still to follow. In an
    answer, where no such mark follows, one that closes its line counts too: small models put it there. A reasoning may
    quote it anywhere else.

    Args:
        adapter: The adapter whose format the completion is written in.
        signature: The signature that the completion answers.
        text: What the LM wrote, perhaps cut off anywhere, its thinking left out.

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
    # The mark itself may have been cut off: half of it is no part of the answer either.
    half = text.rfind(CHAT_END[:2], -len(CHAT_END))
    return half if half >= 0 and CHAT_END.startswith(text[half:]) else len(text)


def is_complete(adapter: dspy.Adapter, signature: type[dspy.Signature], text: str) -> bool:
    """Whether a text shows by itself that it was written to its end, whatever cap it filled.

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
    """Whether a text says of a field that it is empty, by quotes or tags around nothing.

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


def split(adapter: dspy.Adapter, signature: type[dspy.Signature], text: str) -> Split:
    """Takes a completion apart into what stands before its answer and the place where that begins.

    Args:
        adapter: The adapter whose format the completion is written in.
        signature: The signature that the completion answers.
        text: What the LM wrote up to its end, perhaps cut off anywhere.
    """
    answers = answer_fields(signature)
    headers = _headers(adapter, signature, text)
    answer_at = next((header.at for header in headers if header.field in answers), None)
    end = _without_half_a_header(adapter, signature, text) if answer_at is None else answer_at
    found, field, begun = [], None, 0
    for header in headers:
        if header.end <= end:
            found.append(_passage(adapter, field, text[begun : header.at], begun))
            field, begun = header.field, header.end
    found.append(_passage(adapter, field, text[begun:end], begun))
    return Split(tuple(passage for passage in found if passage.text), answer_at)


def begins_field(adapter: dspy.Adapter, signature: type[dspy.Signature], field: str, text: str) -> bool:
    """Whether a field's header stands in a text."""
    return any(header.field == field for header in _headers(adapter, signature, text))


def _is_chat(adapter: dspy.Adapter) -> bool:
    return isinstance(adapter, dspy.ChatAdapter) and not isinstance(adapter, (dspy.JSONAdapter, dspy.XMLAdapter))


def _headers(adapter: dspy.Adapter, signature: type[dspy.Signature], text: str) -> list[_Header]:
    """Returns the first header of each output field, in the order of their places."""
    if isinstance(adapter, dspy.JSONAdapter):
        pattern = r'(?:,\s*)?"{}"\s*:'
    elif isinstance(adapter, dspy.XMLAdapter):
        pattern = r"<{}\b[^>]*>"
    else:
        return _first(_chat_headers(text), _names(signature))
    found = ((name, re.search(pattern.format(name), text)) for name in _names(signature))
    headers = (_Header(name, match.start(), match.end()) for name, match in found if match)
    return sorted(headers, key=lambda header: header.at)


@lru_cache(maxsize=256)  # looked for several times in each text
def _chat_headers(text: str) -> tuple[_Header, ...]:
    """Returns the headers that open a line, as DSPy finds them; one inside a line is quoted."""
    found = (match for match in _CHAT_HEADER.finditer(text) if _opens_a_line(text, match.start()))
    return tuple(_Header(match[1], match.start(), match.end()) for match in found)


def _opens_a_line(text: str, at: int) -> bool:
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
    """Returns where a text ends without a header that was cut off in it."""
    at = text.rfind(CHAT_END[:2]) if _is_chat(adapter) else -1
    if at < 0 or not _opens_a_line(text, at):
        return len(text)
    headers = (f"[[ ## {name} ## ]]" for name in (*_names(signature), "completed"))
    return at if any(header.startswith(text[at:]) for header in headers) else len(text)


def _passage(adapter: dspy.Adapter, field: str | None, text: str, at: int) -> Passage:
    """Returns a reasoning field's value, or what stands before the first header where `field` is None."""
    if isinstance(adapter, dspy.JSONAdapter):
        # A remark before the document ends where that opens, perhaps inside a fence.
        remark = re.sub(r'(?:```\w*\s*)?\{\s*(?:"[^{]*)?$', "", text).strip() if field is None else None
        return Passage(_json_text(text.strip()) if remark is None else remark, at)
    if isinstance(adapter, dspy.XMLAdapter):
        return Passage(unescape(re.sub(rf"</{field}>\s*$", "", text), {"&quot;": '"', "&apos;": "'"}).strip(), at)
    return Passage(text.strip(), at + len(text) - len(text.lstrip()))


def _json_text(value: str) -> str:
    """Returns a string of JSON as text, another value as it was written."""
    return _unescaped(re.sub(r'"\s*\}?\s*$', "", value[1:])) if value.startswith('"') else value


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
