"""How answers change with more reasoning: where they settle, and how often they become worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from anytime_dspy.answers import answer_text, key_at
from anytime_dspy.storage.results import ExampleResult

__all__ = ["Stability", "settled_at", "stability"]


@dataclass(frozen=True)
class Stability:
    """How answers change over budgets.

    Attributes:
        settled_mean: Mean over items of the budget from which the answer no longer changes, in reasoning tokens. An
            answer that changed at the last step counts with the largest budget.
        settled_median: The median of the same.
        worsened: Share of items whose quality falls from one budget to the next.
        lost: Share of items that end below their best quality.
    """

    settled_mean: float
    settled_median: float
    worsened: float
    lost: float


def stability(measured: Sequence[ExampleResult]) -> Stability:
    """Summarises how the answers of a run change over its budgets.

    Args:
        measured: Results with points, at least one.
    """
    settled = [settled_at(result) for result in measured]
    curves = [[point.quality for point in result.points] for result in measured]
    return Stability(
        settled_mean=fmean(settled),
        settled_median=float(median(settled)),
        worsened=fmean(any(later < earlier for earlier, later in pairwise(curve)) for curve in curves),
        lost=fmean(curve[-1] < max(curve) for curve in curves),
    )


def settled_at(result: ExampleResult) -> int:
    """Returns the smallest budget from which an item's answer is the same at all larger ones.

    Answers are compared by `answer_text`, which ignores case, white space and the reasoning.
    """
    last, *before = reversed(result.points)
    final = key_at(last, answer_text)
    settled = last.budget
    for point in before:
        if key_at(point, answer_text) != final:
            break
        settled = point.budget
    return settled
