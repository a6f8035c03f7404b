"""The anytime curve, quality over reasoning budgets, and the area under it: the Anytime Index."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anytime_dspy.budgets import check_budgets
from anytime_dspy.errors import AnytimeError, BudgetError

__all__ = ["AnytimeCurve", "Axis", "anytime_index"]

Axis = Literal["linear", "log"]


def anytime_index(
    qualities: ArrayLike,
    budgets: Iterable[int],
    *,
    best_so_far: bool = True,
    axis: Axis = "linear",
    q_max: float = 1.0,
) -> Any:
    """Computes the Anytime Index: the area under quality over budget, as a share of what is achievable.

    With Q*_t = max(Q_1 .. Q_t), budgets b_1 < .. < b_T and the ceiling Q_max of the quality scale, the index is the sum
    over t < T of (Q*_t + Q*_{t+1}) / 2 * (b_{t+1} - b_t), divided by (b_T - b_1) * Q_max (Zhang et al.,
    arXiv 2601.11038). At a single budget it is quality / Q_max.

    Best-so-far picks each item's maximum by its true score, so it is an oracle unless quality can be checked at run
    time: guessing among four options at 16 budgets scores 0.83. Without it the index is the committed one: what a user
    gets who takes the answer at each budget.

    Args:
        qualities: Shape (..., T), each in [0, q_max].
        budgets: T strictly increasing whole numbers of reasoning tokens, at least 0 (on a log axis at least 1).
        best_so_far: Whether to take the running maximum over budgets first.
        axis: "linear" as in the paper; on "log" every doubling of the budget has the same weight.
        q_max: The ceiling of the quality scale.

    Returns:
        Shape (...), in [0, 1]; a float for a single curve.

    Raises:
        BudgetError: The budgets are invalid, or not as many as the qualities.
        AnytimeError: A quality is outside [0, q_max] or not a number, or `q_max` or `axis` is invalid.

    >>> anytime_index([0.0, 1.0, 0.0], [16, 32, 48])
    0.75
    >>> anytime_index([0.0, 1.0, 0.0], [16, 32, 48], best_so_far=False)
    0.5
    """
    weights = _weights(budgets, axis)
    curves = _curves(qualities, len(weights), q_max)
    if best_so_far:
        curves = np.maximum.accumulate(curves, axis=-1)
    # Rounding in the weighted sum may step past the ceiling by one unit in the last place.
    index = np.minimum(curves @ weights / q_max, 1.0)
    return float(index) if curves.ndim == 1 else index


def _weights(budgets: Iterable[int], axis: Axis) -> NDArray[np.float64]:
    """Returns the weights of the trapezoidal rule, one per budget; they sum to 1."""
    if axis not in ("linear", "log"):
        raise AnytimeError(f"axis must be 'linear' or 'log', got {axis!r}")
    grid = np.asarray(check_budgets(budgets, smallest=0 if axis == "linear" else 1), dtype=np.float64)
    if len(grid) == 1:
        return np.ones(1)
    widths = np.diff(grid if axis == "linear" else np.log(grid))
    return (np.append(widths, 0.0) + np.append(0.0, widths)) / (2.0 * widths.sum())  # type: ignore[no-any-return]


def _curves(qualities: ArrayLike, budgets: int, q_max: float) -> NDArray[np.float64]:
    if not (np.isfinite(q_max) and q_max > 0):
        raise AnytimeError(f"q_max must be a positive number, the ceiling of the quality scale; got {q_max!r}")
    try:
        curves = np.asarray(qualities, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise AnytimeError(f"qualities must be an array of numbers with budgets on its last axis ({error})") from error
    if curves.ndim == 0 or curves.shape[-1] != budgets:
        raise BudgetError(f"qualities of shape {curves.shape} do not fit {budgets} budgets: give one quality a budget")
    wrong = ~((curves >= 0.0) & (curves <= q_max))
    if wrong.any():
        raise AnytimeError(f"qualities must lie in [0, {q_max:g}], got {curves[wrong].flat[0]:g}")
    return curves


@dataclass(frozen=True)
class AnytimeCurve:
    """Quality over budgets, of one example or the mean of several.

    Attributes:
        budgets: Reasoning tokens, strictly increasing.
        qualities: The committed quality at each budget: that of the answer a user gets there.

    Raises:
        BudgetError: The budgets are invalid, or not as many as the qualities.

    >>> curve = AnytimeCurve((16, 32, 64), (0.5, 0.25, 1.0))
    >>> curve.best_so_far, curve.final, curve.tokens_to(0.9)
    ((0.5, 0.5, 1.0), 1.0, 64)
    """

    budgets: tuple[int, ...]
    qualities: tuple[float, ...]

    def __post_init__(self) -> None:
        check_budgets(self.budgets, smallest=0)
        if len(self.budgets) != len(self.qualities):
            raise BudgetError(f"{len(self.qualities)} qualities do not fit {len(self.budgets)} budgets")

    @property
    def best_so_far(self) -> tuple[float, ...]:
        """The running maximum of the qualities; an oracle unless quality can be checked at run time."""
        return tuple(np.maximum.accumulate(self.qualities).tolist())

    @property
    def final(self) -> float:
        """The quality at the largest budget."""
        return self.qualities[-1]

    @property
    def average(self) -> float:
        """The mean quality over the budgets."""
        return sum(self.qualities) / len(self.qualities)

    def index(self, *, best_so_far: bool = True, axis: Axis = "linear", q_max: float = 1.0) -> float:
        """Returns the curve's Anytime Index; see `anytime_index`."""
        return float(anytime_index(self.qualities, self.budgets, best_so_far=best_so_far, axis=axis, q_max=q_max))

    def tokens_to(self, target: float) -> int | None:
        """Returns the smallest budget whose quality is at least `target`, or None where none is."""
        return next((b for b, q in zip(self.budgets, self.qualities, strict=True) if q >= target), None)
