"""What the results of a run say, and how sure one may be of it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anytime_dspy.budgets import check_same_grid
from anytime_dspy.curve import AnytimeCurve, Axis, anytime_index
from anytime_dspy.errors import AnytimeError, RunError
from anytime_dspy.store import ExampleResult

__all__ = [
    "Difference",
    "Estimate",
    "Interval",
    "PointSummary",
    "Summary",
    "TokenMeans",
    "bootstrap_interval",
    "index_difference",
    "item_indices",
    "paired_difference",
    "summarise",
]

Floats = NDArray[np.float64]

# Resampled values held in memory at once: 4 MB, which stays in the cache.
_BATCH_VALUES = 500_000


@dataclass(frozen=True)
class Interval:
    """A confidence interval; both ends are NaN where one item alone says nothing about the spread."""

    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A mean over items with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """How much higher the second of two runs is on the same items, with the interval of that mean.

    Attributes:
        mean: After minus before, averaged over items.
        low: Lower end of the interval.
        high: Upper end.
        n: Items.
    """

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class PointSummary:
    """All items at one budget.

    Attributes:
        budget: Reasoning tokens.
        committed: Mean quality of the answers at this budget, with its interval.
        best_so_far: Mean over items of the best quality up to this budget.
        answer_rate: Share of items with an answer that could be read.
    """

    budget: int
    committed: Estimate
    best_so_far: float
    answer_rate: float


@dataclass(frozen=True)
class TokenMeans:
    """Tokens that an item takes at the largest budget, in the four columns that are never mixed."""

    prompt: float
    reasoning: float
    answer: float
    hidden: float


@dataclass(frozen=True)
class Summary:
    """What a table shows of one run.

    Attributes:
        n: Items measured.
        failed: Items that could not be run; in no mean, and run again when the run goes on.
        axis: The budget axis of the indices.
        points: One a budget.
        index_best: Mean per-item index of the best answer so far, as in the paper. Each item's maximum is picked by the
            gold score, so this is an oracle unless quality can be checked at run time.
        index_committed: Mean per-item index of the answer at hand: what a user gets.
        index_of_mean_curve: Best-so-far index of the mean curve, in which guessing gains nothing.
        answer_rate: Share of answers that could be read, over items and budgets; the others count 0.
        tokens: Means per item at the largest budget. Smaller budgets reuse that trace, so they do not add up.
    """

    n: int
    failed: int
    axis: Axis
    points: tuple[PointSummary, ...]
    index_best: Estimate
    index_committed: Estimate
    index_of_mean_curve: float
    answer_rate: float
    tokens: TokenMeans

    @property
    def curve(self) -> AnytimeCurve:
        """The mean committed curve."""
        return AnytimeCurve(self.budgets, tuple(point.committed.value for point in self.points))

    @property
    def budgets(self) -> tuple[int, ...]:
        """The grid that was measured."""
        return tuple(point.budget for point in self.points)

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


def bootstrap_interval(
    values: ArrayLike,
    *,
    statistic: Callable[..., Any] = np.mean,
    confidence: float = 0.95,
    resamples: int = 9_999,
    seed: int = 0,
) -> Interval:
    """Bootstraps an interval by resampling items.

    Bias-corrected and accelerated (Efron 1987, as in scipy.stats.bootstrap): it keeps its level better than percentiles
    on the skewed scores that hard tasks give. Where it is undefined the percentiles stand in.

    Args:
        values: Shape (n,), one number an item. Reduce an item's checkpoints or samples to one number first, so that
            the item is resampled as a whole.
        statistic: Called as `statistic(array, axis=-1)`, such as np.mean or np.median.
        confidence: The level.
        resamples: Resampled data sets.
        seed: Of the resampling; the same seed gives the same interval.

    Returns:
        The interval; NaN at both ends for one item, no width for constant data.

    Raises:
        AnytimeError: No items, or values that are not finite.

    >>> bootstrap_interval([0.25, 0.25, 0.25])
    Interval(low=0.25, high=0.25)
    """
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or data.size == 0 or not np.isfinite(data).all():
        raise AnytimeError(f"an interval needs one finite number an item, got an array of shape {data.shape}")
    return _intervals(data[np.newaxis], statistic=statistic, confidence=confidence, resamples=resamples, seed=seed)[0]


def paired_difference(
    before: Mapping[str, float],
    after: Mapping[str, float],
    *,
    confidence: float = 0.95,
    resamples: int = 9_999,
    seed: int = 0,
) -> Difference:
    """Compares two runs item by item.

    Args:
        before: A number for each item id.
        after: The same items' numbers in the other run.
        confidence: The level of the interval.
        resamples: Resampled data sets.
        seed: Of the resampling.

    Raises:
        RunError: The two do not hold the same items.

    >>> paired_difference({"a": 0.0, "b": 0.5}, {"b": 0.75, "a": 0.25})
    Difference(mean=0.25, low=0.25, high=0.25, n=2)
    """
    unpaired = sorted(before.keys() ^ after.keys())
    if unpaired:
        raise RunError(f"only one run has item {unpaired[0]!r} ({len(unpaired)} such in all): measure the same items")
    gains = np.array([after[item] - before[item] for item in sorted(before)], dtype=np.float64)
    interval = bootstrap_interval(gains, confidence=confidence, resamples=resamples, seed=seed)
    return Difference(float(gains.mean()), interval.low, interval.high, len(gains))


def item_indices(
    results: Sequence[ExampleResult], *, best_so_far: bool = True, axis: Axis = "linear", q_max: float = 1.0
) -> dict[str, float]:
    """Returns each measured item's Anytime Index by its id; items that could not be run are left out.

    Raises:
        BudgetError: The items were measured at different budgets, or there is none.
    """
    measured = _measured(results)
    indices = anytime_index(_qualities(measured), _grid(measured), best_so_far=best_so_far, axis=axis, q_max=q_max)
    return {result.id: float(index) for result, index in zip(measured, indices, strict=True)}


def index_difference(
    before: Sequence[ExampleResult],
    after: Sequence[ExampleResult],
    *,
    best_so_far: bool = True,
    axis: Axis = "linear",
    q_max: float = 1.0,
    seed: int = 0,
) -> Difference:
    """Compares the Anytime Index of two runs, paired by item, with a 95% interval.

    Raises:
        BudgetError: The runs were measured at different budgets.
        RunError: The two did not measure the same items.
    """
    check_same_grid([_grid(_measured(before)), _grid(_measured(after))])
    pair = [item_indices(run, best_so_far=best_so_far, axis=axis, q_max=q_max) for run in (before, after)]
    return paired_difference(*pair, seed=seed)


def summarise(results: Sequence[ExampleResult], *, axis: Axis = "linear", q_max: float = 1.0, seed: int = 0) -> Summary:
    """Sums up a run.

    Args:
        results: As in `RunStore.results`.
        axis: The budget axis of the indices.
        q_max: The ceiling of the quality scale.
        seed: Of the bootstrap.

    Raises:
        BudgetError: The items were measured at different budgets, or none could be run.
    """
    measured = _measured(results)
    budgets = _grid(measured)
    committed = _qualities(measured)
    best_so_far = np.maximum.accumulate(committed, axis=1).mean(axis=0)
    answered = np.array([[point.answered for point in result.points] for result in measured], dtype=np.float64)
    best, at_hand = (
        anytime_index(committed, budgets, best_so_far=oracle, axis=axis, q_max=q_max) for oracle in (True, False)
    )
    index_best, index_committed, *at_budgets = _estimates(np.vstack([best, at_hand, committed.T]), seed)
    # Rounding may lift the mean of items at the ceiling above it.
    mean_curve = np.minimum(committed.mean(axis=0), q_max)
    return Summary(
        n=len(measured),
        failed=len(results) - len(measured),
        axis=axis,
        points=tuple(map(PointSummary, budgets, at_budgets, best_so_far.tolist(), answered.mean(axis=0).tolist())),
        index_best=index_best,
        index_committed=index_committed,
        index_of_mean_curve=anytime_index(mean_curve, budgets, axis=axis, q_max=q_max),
        answer_rate=float(answered.mean()),
        tokens=_token_means(measured),
    )


def _measured(results: Sequence[ExampleResult]) -> list[ExampleResult]:
    """In the order of ids: threads finish in any order, and a seeded bootstrap depends on it."""
    return sorted((result for result in results if result.error is None), key=lambda result: result.id)


def _grid(measured: Sequence[ExampleResult]) -> tuple[int, ...]:
    return check_same_grid(tuple(point.budget for point in result.points) for result in measured)


def _qualities(measured: Sequence[ExampleResult]) -> Floats:
    """Shape (n, T)."""
    return np.array([[point.quality for point in result.points] for result in measured], dtype=np.float64)


def _token_means(measured: Sequence[ExampleResult]) -> TokenMeans:
    spent = [result.points[-1].usage for result in measured]
    columns = [(u.prompt_tokens, u.reasoning_tokens, u.answer_tokens, u.hidden_tokens) for u in spent]
    return TokenMeans(*np.mean(columns, axis=0).tolist())


def _estimates(rows: Floats, seed: int) -> list[Estimate]:
    intervals = _intervals(rows, statistic=np.mean, confidence=0.95, resamples=9_999, seed=seed)
    return [Estimate(float(row.mean()), i.low, i.high) for row, i in zip(rows, intervals, strict=True)]


def _intervals(
    rows: Floats, *, statistic: Callable[..., Any], confidence: float, resamples: int, seed: int
) -> list[Interval]:
    """One interval for each row of shape (rows, n); all rows see the same resampled items."""
    count, n = rows.shape
    if n < 2:
        return [Interval(math.nan, math.nan)] * count
    constant = rows.max(axis=1) == rows.min(axis=1)
    low = np.where(constant, rows[:, 0], math.nan)
    high = low.copy()
    for method in ("BCa", "percentile"):
        missing = np.isnan(low) | np.isnan(high)
        if missing.any():
            low[missing], high[missing] = _bootstrap(rows[missing], statistic, confidence, resamples, seed, method)
    return [Interval(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def _bootstrap(
    rows: Floats, statistic: Callable[..., Any], confidence: float, resamples: int, seed: int, method: Any
) -> tuple[Floats, Floats]:
    """Shape (rows,) twice; NaN where the method is undefined for a row."""
    from scipy import stats  # slow to import

    with warnings.catch_warnings():
        # scipy warns of what the NaN says already.
        warnings.simplefilter("ignore")
        interval = stats.bootstrap(
            (rows,),
            statistic,
            n_resamples=resamples,
            batch=max(1, _BATCH_VALUES // rows.size),
            axis=-1,
            confidence_level=confidence,
            method=method,
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return np.asarray(interval.low), np.asarray(interval.high)
