"""Gives what was read from JSON its types."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from anytime_dspy.storage.jsonl import read_json, reading

__all__ = ["read_as", "typed"]

T = TypeVar("T")


def read_as(kind: type[T], path: str | Path) -> T:
    """Reads a JSON file as an object of a class.

    Raises:
        RunError: The file cannot be read, or holds something else.
    """
    with reading(Path(path)):
        return TypeAdapter(kind).validate_python(read_json(Path(path)))


def typed(values: Mapping[str, Any], annotations: Mapping[str, Any]) -> dict[str, Any]:
    """Validates each value against its field's type; values that fail, or have no type, are returned unchanged.

    Args:
        values: Values read from JSON, by field.
        annotations: The fields' types.

    Example:
        >>> typed({"seen": [1, 2], "note": None}, {"seen": set[int], "note": str})
        {'seen': {1, 2}, 'note': None}
    """
    return {name: _typed(value, annotations.get(name, Any)) for name, value in values.items()}


def _typed(value: Any, annotation: Any) -> Any:
    try:
        return TypeAdapter(annotation).validate_python(value)
    except ValidationError:
        return value
