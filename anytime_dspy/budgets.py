"""Budgets and grids of them: what one may look like, and when two may be compared."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral, Real
from typing import Any

from anytime_dspy.errors import BudgetError

__all__ = ["Budget", "check_answer_tokens", "check_budgets", "check_same_grid", "is_positive", "parse_budgets"]


@dataclass(frozen=True)
class Budget:
    """What a run may reason with, in one kind or several: the first that runs out ends its reasoning.

    The answers stand on top of it in every kind, since a run always ends in one.

    Attributes:
        tokens: Reasoning tokens.
        seconds: Wall time from the beginning of the `with` block. No call that was sent is broken off; but a call is
            given no more tokens than fit the time, by the speed measured in this block (50 tokens a second before the
            first call). On an engine that can continue a message, one is written piece by piece, so that time is
            overrun by one piece and the answer; elsewhere by what the speed was misjudged, and the answer.
        dollars: Money, by litellm's prices. A call reasons as long as its prompt, the reasoning and the answer can be
            paid; with less only the answer is asked for, even where that overruns. A call that DSPy has in its
            cache counts with its price, as it counts with its tokens.

    Raises:
        BudgetError: No kind is given, or one is not positive.

    >>> Budget(tokens=256, seconds=2.5)
    Budget(tokens=256, seconds=2.5, dollars=None)
    """

    tokens: int | None = None
    seconds: float | None = None
    dollars: float | None = None

    def __post_init__(self) -> None:
        if self.tokens is None and self.seconds is None and self.dollars is None:
            raise BudgetError("a budget needs a limit: give tokens, seconds or dollars")
        if self.tokens is not None:
            object.__setattr__(self, "tokens", check_budgets((self.tokens,))[0])
        for kind in ("seconds", "dollars"):
            amount = getattr(self, kind)
            if amount is not None and not is_positive(amount):
                raise BudgetError(f"a budget in {kind} must be a positive number, got {amount!r}")


def is_positive(amount: object) -> bool:
    """Whether this is a number above 0 that is not endless."""
    if isinstance(amount, bool) or not isinstance(amount, Real):
        return False
    return 0 < float(amount) < math.inf


def whole_number(amount: object) -> int | None:
    """Returns a whole number, numpy's included, as a plain int that JSON can hold; None for anything else.

    >>> whole_number(64), whole_number(True), whole_number(64.0)
    (64, None, None)
    """
    if isinstance(amount, bool) or not isinstance(amount, Integral):
        return None
    return int(amount)


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


def check_answer_tokens(answer_tokens: int) -> int:
    """Returns `answer_tokens` as a plain int if it is a positive integer.

    Raises:
        BudgetError: It is not.
    """
    tokens = whole_number(answer_tokens)
    if tokens is None or tokens <= 0:
        raise BudgetError(f"answer_tokens must be a positive integer, not {answer_tokens!r}.")
    return tokens
