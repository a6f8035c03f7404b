"""Gives values that were read from JSON the types of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

__all__ = ["typed"]


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
