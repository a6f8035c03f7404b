"""Ranking by pairwise comparison: all pairs of a few items, a Swiss tournament among many.

A Swiss tournament compares items that are neighbours in the current ranking, where a comparison is most informative.
Its results are fitted with the model of Bradley and Terry (1952), by choix.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np

__all__ = ["ROUND_ROBIN", "Compare", "first_pairs", "strengths"]

Compare = Callable[[int, int], float]
"""Compares two items by their indices; returns the points of the first: 1 for a win, 1/2 for a tie, 0 for a loss."""

ROUND_ROBIN = 6
"""Up to this many items every pair is compared: at most 15 comparisons."""

PRIOR = 0.01
"""The regularisation of the fit; without it an item that always wins has infinite strength."""


def first_pairs(n: int) -> list[tuple[int, int]]:
    """Returns pairs that `strengths` always compares: all pairs of a few items, the first round of many."""
    if n <= ROUND_ROBIN:
        return list(itertools.combinations(range(n), 2))
    return list(_neighbours(list(range(n)), np.zeros((n, n))))


def strengths(n: int, compare: Compare) -> list[float]:
    """Returns, for each of n items, the share of the others that it beats; a tie is half a win.

    Up to `ROUND_ROBIN` items the share is observed. With more, each item meets at most ceil(log2 n) + 1 others, fewer
    than n log2 n comparisons in all, and the share is the fitted model's expectation of a full round robin. The first
    round pairs items in the given order, so items that are probably good should come first.

    Args:
        n: The number of items, at least 2.
        compare: Called at most once per pair.

    Example:
        >>> strengths(3, lambda first, second: float(first > second))
        [0.0, 0.5, 1.0]
    """
    points = np.zeros((n, n))
    if n <= ROUND_ROBIN:
        for pair in first_pairs(n):
            _play(points, pair, compare)
        return [float(share) for share in points.sum(axis=1) / (n - 1)]
    fitted = np.zeros(n)
    for _ in range(math.ceil(math.log2(n)) + 1):
        standing = sorted(range(n), key=lambda place: -fitted[place])
        for pair in list(_neighbours(standing, points)):
            _play(points, pair, compare)
        fitted = _fit(points)
    expected = 1 / (1 + np.exp(fitted[None, :] - fitted[:, None]))
    return [float(share) for share in (expected.sum(axis=1) - 0.5) / (n - 1)]


def _play(points: np.ndarray, pair: tuple[int, int], compare: Compare) -> None:
    first, second = pair
    won = compare(first, second)
    points[first, second], points[second, first] = won, 1 - won


def _neighbours(standing: list[int], points: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs each item with the next free one below it that it has not met."""
    free = list(standing)
    while free:
        thing = free.pop(0)
        rival = next((other for other in free if not points[thing, other] + points[other, thing]), None)
        if rival is not None:
            free.remove(rival)
            yield thing, rival


def _fit(points: np.ndarray) -> np.ndarray:
    import choix  # it imports scipy's optimisers, so only for a tournament

    return np.asarray(choix.ilsr_pairwise_dense(points, alpha=PRIOR, max_iter=1000, tol=1e-6))
