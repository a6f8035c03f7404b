"""How alike two sets are."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

__all__ = ["jaccard"]


def jaccard(one: Set[Any], other: Set[Any]) -> float:
    """Returns the Jaccard index of two sets, in [0, 1]; two empty sets are equal.

    >>> jaccard({"add", "first"}, {"add", "last"})
    0.3333333333333333
    """
    return len(one & other) / len(one | other) if one or other else 1.0
