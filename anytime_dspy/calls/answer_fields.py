"""Which answer fields of a reply could be read, whatever their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dspy

from anytime_dspy.calls import formats

__all__ = ["unread"]


def unread(
    adapter: dspy.Adapter, signature: type[dspy.Signature], values: Mapping[str, Any], text: str, *, cut: bool
) -> tuple[str, ...]:
    """Returns the answer fields that could not be read from a reply.

    The adapter has validated each value against its field's type. So a `None`, an empty list, or an empty text that the
    type allows (`Literal["", "a"]`, `Optional[str]`) is an answer if the reply has that field. Two cases are ambiguous,
    since a reply without any answer gives the same values:

    - An empty text in a plain `str` field. In JSON and XML, quotes or tags show that it is meant. In the chat format an
      LM that stops after a header leaves the same.
    - A field that the reply leaves out. DSPy returns `None`, or the field's default, where its type allows that, and
      `None` for the text of a reply that calls tools instead, and for the tools of one that does not.

    These count as read if the reply ended by itself and another of its answer fields was read.

    Args:
        adapter: The adapter whose format the reply is in.
        signature: The signature of the call.
        values: The values that the adapter parsed.
        text: The reply.
        cut: Whether the reply was truncated.
    """
    names = formats.answer_fields(signature)

    def is_read(name: str) -> bool:
        value = values.get(name)
        if value is None:
            return name in values and formats.begins_field(adapter, signature, name, text)
        if isinstance(value, str) and not value:
            is_plain = signature.output_fields[name].annotation is str
            return not is_plain or formats.is_empty_field(adapter, signature, name, text)
        return True

    missing = tuple(name for name in names if not is_read(name))
    if cut or len(missing) == len(names):
        return missing
    return tuple(name for name in missing if name not in values)
