"""Budgets and grids of budgets, and their validation."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral, Real
from typing import Any

from anytime_dspy.errors import BudgetError

__all__ = ["Budget", "check_answer_tokens", "check_budgets", "check_same_grid", "middle", "parse_budgets"]


LARGEST = 10**12
"""More tokens than any LM writes, and few enough for a plot."""


@dataclass(frozen=True)
class Budget:
    """A limit on a run's reasoning, in one kind or several: the first that runs out ends the reasoning.

    The answers come on top of it in every kind, since a run always ends with one.

    Attributes:
        tokens: Reasoning tokens.
        seconds: Wall time from the start of the `with` block. A call that was sent is never aborted, but its cap is the
            number of tokens that fit the time, by the speed measured in this block (50 tokens per second before the
            first call). An engine that can continue a message generates it in pieces, so that time is overrun by one
            piece and the answer; elsewhere by the error of the measured speed, and the answer.
        dollars: Money, by litellm's prices. A call reasons as long as its prompt, the reasoning and the answer can be
            paid. With less, only the answer is forced, even if that overruns. A call from DSPy's cache counts with its
            price, as it counts with its tokens.

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
            if amount is not None and not _is_positive(amount):
                raise BudgetError(f"a budget in {kind} must be a positive number, got {amount!r}")


def _is_positive(amount: object) -> bool:
    """Whether this is a positive, finite number."""
    if isinstance(amount, bool) or not isinstance(amount, Real):
        return False
    return 0 < float(amount) < math.inf


def whole_number(amount: object) -> int | None:
    """Returns an integer, also one of numpy, as a plain int that JSON can hold; None for anything else.

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
        smallest: The smallest budget allowed; 0 if the answer without reasoning is part of the curve.

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
        if int(budget) > LARGEST:
            raise BudgetError(f"budgets must be at most {LARGEST:,} tokens, got {budget}")
    for lower, upper in pairwise(grid):
        if lower == upper:
            raise BudgetError(f"budget {lower} is given twice: name each budget once")
        if lower > upper:
            raise BudgetError(f"budgets must increase, but {upper} follows {lower}: sort them")
    return tuple(int(budget) for budget in grid)


def parse_budgets(text: str) -> tuple[int, ...]:
    """Reads a grid of budgets from the command line.

    Args:
        text: Reasoning tokens, separated by commas, such as `16,32,64`.

    Raises:
        BudgetError: The text is no such list, or `check_budgets` raises.

    >>> parse_budgets("16, 32,64")
    (16, 32, 64)
    """
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not re.fullmatch(r"-?[0-9]+", part):
            raise BudgetError(f"budgets must be whole numbers with commas between, such as 64,128,256; got {text!r}")
    return check_budgets(int(part) for part in parts)


def check_same_grid(grids: Iterable[tuple[int, ...]]) -> tuple[int, ...]:
    """Returns the one grid that all of `grids` are equal to.

    An Anytime Index depends on its budgets, so results on different grids are never compared or averaged.

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


def middle(budgets: Sequence[int]) -> int:
    """Returns the middle budget of a grid, the lower one of two.

    >>> middle((64, 128, 256, 512))
    128
    """
    return budgets[(len(budgets) - 1) // 2]


def check_answer_tokens(answer_tokens: int) -> int:
    """Returns `answer_tokens` as a plain int if it is a positive integer.

    Raises:
        BudgetError: It is not.
    """
    tokens = whole_number(answer_tokens)
    if tokens is None or tokens <= 0:
        raise BudgetError(f"answer_tokens must be a positive integer, not {answer_tokens!r}")
    return tokens
