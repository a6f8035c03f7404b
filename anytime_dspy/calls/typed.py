"""Field values that went through JSON or were cut off, made what their signature says they are."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import dspy
from dspy.adapters.utils import parse_value
from pydantic import TypeAdapter, ValidationError

__all__ = ["text_as", "typed"]


def typed(values: Mapping[str, Any], annotations: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values as their types have them; one that does not fit its type, or has none, stays as it is.

    Args:
        values: What was read from JSON, by field.
        annotations: The fields' types.

    Example:
        >>> typed({"seen": [1, 2], "note": None}, {"seen": set[int], "note": str})
        {'seen': {1, 2}, 'note': None}
    """
    return {name: _typed(value, annotations.get(name, Any)) for name, value in values.items()}


def text_as(text: str, annotation: Any) -> Any:
    """Returns a text of an LM, perhaps cut off, as a field of some type holds it; None where it cannot.

    It is read as DSPy reads a whole field. A list takes other text as its only item.

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


def _typed(value: Any, annotation: Any) -> Any:
    try:
        return TypeAdapter(annotation).validate_python(value)
    except ValidationError:
        return value
