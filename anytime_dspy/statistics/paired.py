"""Paired comparisons: how much better one program is on the same items, and whether that may be chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from anytime_dspy.errors import AnytimeError, RunError
from anytime_dspy.statistics.bootstrap import bootstrap_interval

__all__ = ["Difference", "holm", "mcnemar", "paired_difference", "sign_flip"]


@dataclass(frozen=True)
class Difference:
    """The mean difference of two runs on the same items.

    Attributes:
        mean: After minus before, averaged over items.
        low: Lower end of its 95% interval.
        high: Upper end.
        n: Number of items.
        p: Two-sided p-value of the hypothesis that neither is better.
    """

    mean: float
    low: float
    high: float
    n: int
    p: float


def paired_difference(before: Mapping[str, float], after: Mapping[str, float], *, seed: int = 0) -> Difference:
    """Compares two runs item by item, with a 95% bootstrap interval and a sign-flip test.

    Args:
        before: A number for each item id.
        after: The same items' numbers in the other run.
        seed: The seed of the interval and the test.

    Raises:
        RunError: The two do not hold the same items.

    >>> paired_difference({"a": 0.0, "b": 0.5}, {"b": 0.75, "a": 0.25})
    Difference(mean=0.25, low=0.25, high=0.25, n=2, p=0.5)
    """
    unpaired = sorted(before.keys() ^ after.keys())
    if unpaired:
        raise RunError(f"only one run has item {unpaired[0]!r} ({len(unpaired)} such in all): measure the same items")
    gains = np.array([after[item] - before[item] for item in sorted(before)], dtype=np.float64)
    interval = bootstrap_interval(gains, seed=seed)
    return Difference(float(gains.mean()), interval.low, interval.high, len(gains), sign_flip(gains, seed=seed))


def sign_flip(gains: ArrayLike, *, resamples: int = 9_999, seed: int = 0) -> float:
    """Tests whether paired gains have mean 0, by flipping their signs (scipy.stats.permutation_test).

    Exact for up to 13 items, which have fewer than `resamples` sign patterns; otherwise on a random sample of them.

    Args:
        gains: Shape (n,).
        resamples: Sign patterns that are tried.
        seed: The seed of the sample.

    Returns:
        The two-sided p-value.

    >>> sign_flip([0.5, 0.25, 0.75, 0.5, 0.25])
    0.0625
    """
    from scipy import stats  # slow to import

    data = np.asarray(gains, dtype=np.float64)
    if data.size < 2 or not data.any():
        return 1.0
    test = stats.permutation_test(
        (data,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def mcnemar(before: ArrayLike, after: ArrayLike) -> float:
    """Tests whether two programs are right equally often on the same items (McNemar 1947, exact binomial).

    Args:
        before: Shape (n,), 0 or 1 per item.
        after: The same items' in the other run.

    Returns:
        The two-sided p-value; 1 where no item changed.

    Raises:
        AnytimeError: A quality is neither 0 nor 1: use `sign_flip`.

    >>> mcnemar([0, 0, 0, 0, 1], [1, 1, 1, 1, 1])
    0.125
    """
    from scipy import stats  # slow to import

    pair = np.asarray([before, after], dtype=np.float64)
    if not np.isin(pair, (0.0, 1.0)).all():
        raise AnytimeError("McNemar's test needs qualities of 0 or 1: use sign_flip for others")
    gained, lost = int((pair[0] < pair[1]).sum()), int((pair[0] > pair[1]).sum())
    return float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusts the p-values of several comparisons for the family-wise error rate (Holm 1979).

    Args:
        p_values: One per comparison.

    Returns:
        Adjusted p-values in the same order, each read as that of a single comparison.

    >>> holm([0.01, 0.5, 0.04])
    (0.03, 0.5, 0.08)
    """
    order = np.argsort(p_values)
    ranked: Any = np.asarray(p_values, dtype=np.float64)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(ranked), 1.0)
    return tuple(adjusted.tolist())
