"""Copies of values that a program may change in place: each run starts from what was given, or recorded."""

from __future__ import annotations

import copy
from typing import Any

import dspy
from pydantic import BaseModel

__all__ = ["own_copy"]

_PLAIN = frozenset({str, int, float, bool, type(None)})


def own_copy(value: Any) -> Any:
    """Returns a copy of lists, dicts, sets, tuples, pydantic models and DSPy's examples, and of these in each other.

    Anything else is the same object: a retriever or a table of data may be large or impossible to copy, and a tool may
    act on an object that others know.

    Example:
        >>> turns = [{"answer": "4"}]
        >>> own = own_copy(turns)
        >>> own[0]["answer"] = "5"
        >>> turns
        [{'answer': '4'}]
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is dict:
        return {name: one if type(one) in _PLAIN else own_copy(one) for name, one in value.items()}  # every call's
    if kind in (list, tuple, set):
        return kind(own_copy(one) for one in value)
    if isinstance(value, BaseModel | dspy.Example) and not isinstance(value, dspy.Tool):
        try:
            return copy.deepcopy(value)
        except Exception:  # it holds something that cannot be copied
            return value
    return value
