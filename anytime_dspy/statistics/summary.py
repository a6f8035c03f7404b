"""Summarises the results of a run, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from anytime_dspy.budgets import check_same_grid
from anytime_dspy.checkpoint import AnswerState
from anytime_dspy.curve import AnytimeCurve, Axis, anytime_index
from anytime_dspy.errors import RunError
from anytime_dspy.statistics.bootstrap import Estimate, estimates
from anytime_dspy.statistics.paired import Difference, paired_difference
from anytime_dspy.statistics.stability import Stability, stability
from anytime_dspy.storage.results import ExampleResult

__all__ = ["PointSummary", "Summary", "TokenMeans", "index_difference", "item_indices", "paired_results", "summarise"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TokenMeans:
    """The mean cost of an item, in four token columns that are never mixed.

    Attributes:
        prompt: Tokens sent.
        reasoning: Reasoning tokens.
        answer: Tokens of answers.
        hidden: Thinking inside forced answers.
        dollars: Their price; None if the LM has none.
    """

    prompt: float
    reasoning: float
    answer: float
    hidden: float
    dollars: float | None


@dataclass(frozen=True)
class PointSummary:
    """All items at one budget.

    Attributes:
        budget: Reasoning tokens.
        committed: Mean quality of the answers at this budget, with its interval.
        best_so_far: Mean over items of the best quality up to this budget, with its interval.
        answer_rate: Share of items with an answer that could be read.
        censored_rate: Share of items with an answer that was cut off at its allowance, readable or not.
        tokens: Means per item of a run under this budget alone. A sweep reuses one trace for all budgets, so they do
            not add up.
    """

    budget: int
    committed: Estimate
    best_so_far: Estimate
    answer_rate: float
    censored_rate: float
    tokens: TokenMeans


@dataclass(frozen=True)
class Summary:
    """The summary of one run.

    Attributes:
        n: Items measured.
        failed: Items that could not be run; they are in no mean, and run again when the run is resumed.
        axis: The budget axis of the indices.
        points: One per budget.
        index_best: Mean per-item index of the best answer so far, as in the paper. Each item's maximum is found by the
            true score, so this is an oracle unless quality can be checked at run time.
        index_committed: Mean per-item index of the answer at each budget: what a user gets.
        index_of_mean_curve: Best-so-far index of the mean curve, which does not reward guessing.
        answer_rate: Share of answers that could be read, over items and budgets; the others count 0.
        states: The numbers of answers that are "answered", "censored" (cut off at their allowance, readable or not)
            and "unreadable", over items and budgets.
        stability: Where answers settle, and how often they become worse.
    """

    n: int
    failed: int
    axis: Axis
    points: tuple[PointSummary, ...]
    index_best: Estimate
    index_committed: Estimate
    index_of_mean_curve: float
    answer_rate: float
    states: Mapping[AnswerState, int]
    stability: Stability

    @property
    def curve(self) -> AnytimeCurve:
        """The mean committed curve."""
        return AnytimeCurve(self.budgets, tuple(point.committed.value for point in self.points))

    @property
    def budgets(self) -> tuple[int, ...]:
        """The budgets that were measured."""
        return tuple(point.budget for point in self.points)

    @property
    def censored_rate(self) -> float:
        """Share of answers that were cut off at their allowance, over items and budgets."""
        return self.states["censored"] / sum(self.states.values())

    @property
    def tokens(self) -> TokenMeans:
        """Means per item at the largest budget."""
        return self.points[-1].tokens

    @property
    def final(self) -> float:
        """Mean quality at the largest budget."""
        return self.curve.final

    @property
    def average(self) -> float:
        """Mean quality over items and budgets."""
        return self.curve.average

    def tokens_to_target(self, target: float) -> int | None:
        """Returns the smallest budget at which the mean quality is at least `target`, or None."""
        return self.curve.tokens_to(target)


def item_indices(
    results: Sequence[ExampleResult], *, best_so_far: bool = True, axis: Axis = "linear"
) -> dict[str, float]:
    """Returns each measured item's Anytime Index by its id; items that could not be run are left out.

    Raises:
        BudgetError: The items were measured at different budgets, or there is none.
    """
    measured = _measured(results)
    indices = anytime_index(_qualities(measured), _grid(measured), best_so_far=best_so_far, axis=axis)
    return {result.id: float(index) for result, index in zip(measured, indices, strict=True)}


def index_difference(
    before: Sequence[ExampleResult],
    after: Sequence[ExampleResult],
    *,
    best_so_far: bool = True,
    axis: Axis = "linear",
    seed: int = 0,
) -> Difference:
    """Compares the Anytime Index of two runs, paired by item, with a 95% interval.

    Items that could not be run in one of the two are left out.

    Raises:
        BudgetError: The runs were measured at different budgets.
        RunError: The runs have different items, or different inputs under one id.
    """
    pair = [item_indices(run, best_so_far=best_so_far, axis=axis) for run in paired_results(before, after)]
    return paired_difference(*pair, seed=seed)


def paired_results(
    before: Sequence[ExampleResult], after: Sequence[ExampleResult]
) -> tuple[list[ExampleResult], list[ExampleResult]]:
    """Returns the results of the items that both runs measured, in the same order.

    Raises:
        BudgetError: The runs were measured at different budgets, or have no measured item in common.
        RunError: The runs have different items, or different inputs under one id.
    """
    first, second = ({result.id: result for result in run} for run in (before, after))
    alone = sorted(first.keys() ^ second.keys())
    if alone:
        raise RunError(
            f"only one run has item {alone[0]!r} ({len(alone)} such in all): give both the same --limit and data"
        )
    # Runs of private tasks store no inputs.
    shown = [item for item in first if first[item].inputs and second[item].inputs]
    unlike = sorted(item for item in shown if first[item].inputs != second[item].inputs)
    if unlike:
        raise RunError(f"item {unlike[0]!r} is another one in each run: measure both on the same data")
    common = {item for item in first if first[item].error is None and second[item].error is None}
    one, other = (_measured([run[item] for item in common]) for run in (first, second))
    check_same_grid([_grid(one), _grid(other)])
    return one, other


def summarise(results: Sequence[ExampleResult], *, axis: Axis = "linear", seed: int = 0) -> Summary:
    """Summarises a run.

    Args:
        results: From `sweep` or `RunStore.results`.
        axis: The budget axis of the indices.
        seed: The seed of the bootstrap.

    Raises:
        BudgetError: The items were measured at different budgets, or none could be run.
    """
    measured = _measured(results)
    budgets = _grid(measured)
    committed = _qualities(measured)
    best_so_far = np.maximum.accumulate(committed, axis=1)
    answered = np.array([[point.answered for point in result.points] for result in measured], dtype=np.float64)
    states = np.array([[point.state for point in result.points] for result in measured])
    censored = states == "censored"
    best, at_hand = (anytime_index(committed, budgets, best_so_far=oracle, axis=axis) for oracle in (True, False))
    index_best, index_committed = estimates(np.vstack([best, at_hand]), bounds=(0.0, 1.0), seed=seed)
    at_budgets = estimates(np.vstack([committed.T, best_so_far.T]), bounds=(0.0, 1.0), seed=seed)
    return Summary(
        n=len(measured),
        failed=len(results) - len(measured),
        axis=axis,
        points=tuple(
            map(
                PointSummary,
                budgets,
                at_budgets[: len(budgets)],
                at_budgets[len(budgets) :],
                answered.mean(axis=0).tolist(),
                censored.mean(axis=0).tolist(),
                (_token_means(measured, place) for place in range(len(budgets))),
            )
        ),
        index_best=index_best,
        index_committed=index_committed,
        index_of_mean_curve=anytime_index(committed.mean(axis=0), budgets, axis=axis),
        answer_rate=float(answered.mean()),
        states={state: int((states == state).sum()) for state in get_args(AnswerState)},
        stability=stability(measured),
    )


def _measured(results: Sequence[ExampleResult]) -> list[ExampleResult]:
    """Returns the measured results by id: threads finish in any order, and a seeded bootstrap depends on the order."""
    return sorted((result for result in results if result.error is None), key=lambda result: result.id)


def _grid(measured: Sequence[ExampleResult]) -> tuple[int, ...]:
    return check_same_grid(tuple(point.budget for point in result.points) for result in measured)


def _qualities(measured: Sequence[ExampleResult]) -> Floats:
    """Returns the qualities, of shape (n, T)."""
    return np.array([[point.quality for point in result.points] for result in measured], dtype=np.float64)


def _token_means(measured: Sequence[ExampleResult], place: int) -> TokenMeans:
    spent = [result.points[place].usage for result in measured]
    prices = [usage.dollars for usage in spent if usage.dollars is not None]
    return TokenMeans(
        prompt=fmean(usage.prompt_tokens for usage in spent),
        reasoning=fmean(usage.reasoning_tokens for usage in spent),
        answer=fmean(usage.answer_tokens for usage in spent),
        hidden=fmean(usage.hidden_tokens for usage in spent),
        dollars=fmean(prices) if len(prices) == len(spent) else None,
    )
