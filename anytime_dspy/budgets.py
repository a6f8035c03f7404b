"""Grids of reasoning budgets: what one may look like, and when two may be compared."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from numbers import Integral
from typing import Any

from anytime_dspy.errors import BudgetError

__all__ = ["check_budgets", "check_same_grid", "parse_budgets"]


def check_budgets(budgets: Iterable[int], *, smallest: int = 1) -> tuple[int, ...]:
    """Returns a grid of budgets as a tuple of plain ints.

    Args:
        budgets: Reasoning tokens, strictly increasing.
        smallest: The least budget allowed; 0 where the answer without any reasoning is part of the curve.

    Raises:
        BudgetError: The grid is empty, holds something other than whole numbers, or does not increase.

    >>> check_budgets([16, 32, 64])
    (16, 32, 64)
    """
    if not isinstance(budgets, Iterable):
        raise BudgetError(f"budgets must be a list such as (64, 128, 256), got {budgets!r}")
    grid: tuple[Any, ...] = tuple(budgets)
    if not grid:
        raise BudgetError("no budgets given: name at least one, such as (64, 128, 256)")
    for budget in grid:
        if isinstance(budget, bool) or not isinstance(budget, Integral):
            raise BudgetError(f"budgets must be whole numbers of tokens, got {budget!r}")
        if budget < smallest:
            raise BudgetError(f"budgets must be at least {smallest} token{'s' * (smallest != 1)}, got {budget}")
    for lower, upper in pairwise(grid):
        if lower == upper:
            raise BudgetError(f"budget {lower} is given twice: name each budget once")
        if lower > upper:
            raise BudgetError(f"budgets must increase, but {upper} follows {lower}: sort them")
    return tuple(int(budget) for budget in grid)


def parse_budgets(text: str) -> tuple[int, ...]:
    """Reads a grid of budgets from the command line.

    Args:
        text: Reasoning tokens with commas between, such as `16,32,64`.

    Raises:
        BudgetError: The text is no such list, or `check_budgets` refuses it.

    >>> parse_budgets("16, 32,64")
    (16, 32, 64)
    """
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not re.fullmatch(r"-?[0-9]+", part):
            raise BudgetError(f"budgets must be whole numbers with commas between, such as 64,128,256; got {text!r}")
    return check_budgets(int(part) for part in parts)


def check_same_grid(grids: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """Returns the one grid that all of `grids` are.

    An Anytime Index depends on where it was measured, so results on different grids are never compared or averaged.

    Raises:
        BudgetError: Two grids differ, or there is none.
    """
    different = list(dict.fromkeys(grids))
    if not different:
        raise BudgetError("there is nothing measured to compare: run a sweep first")
    if len(different) > 1:
        first, second = (",".join(map(str, grid)) for grid in different[:2])
        raise BudgetError(f"results on budgets {first} and {second} cannot be compared: measure both on one grid")
    return different[0]
