"""Ranking by comparisons: all pairs of a few things, and a tournament among many.

A Swiss tournament lets the things play that stand next to each other so far, which is where a comparison tells most;
its results are read with the model of Bradley and Terry (1952), fitted by choix.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np

__all__ = ["ROUND_ROBIN", "Compare", "first_pairs", "strengths"]

Compare = Callable[[int, int], float]
"""Compares the things at two places; returns the first one's points: 1 for a win, 1/2 for a tie, 0 for a loss."""

ROUND_ROBIN = 6
"""Up to so many things every pair is compared: at most 15 comparisons."""

PRIOR = 0.01
"""The regularisation of the fit: without it what always won would be infinitely strong."""


def first_pairs(n: int) -> list[tuple[int, int]]:
    """Returns pairs that `strengths` is sure to compare: all of a few things, the first round's of many."""
    if n <= ROUND_ROBIN:
        return list(itertools.combinations(range(n), 2))
    return list(_neighbours(list(range(n)), np.zeros((n, n))))


def strengths(n: int, compare: Compare) -> list[float]:
    """Returns, for each of n things, the share of the others that it wins against; a tie is half a win.

    Up to `ROUND_ROBIN` things that share is observed. Of more, each plays at most ceil(log2 n) + 1 others, fewer than
    n log2 n comparisons in all, and the share is what the fitted model expects of a full round robin. The first round
    follows the order in which the things are given, so what is likely to be good should stand first.

    Args:
        n: How many, at least 2.
        compare: Asked at most once about a pair.

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
    """Pairs each thing with the next one below it that it has not met and that is still free."""
    free = list(standing)
    while free:
        thing = free.pop(0)
        rival = next((other for other in free if not points[thing, other] + points[other, thing]), None)
        if rival is not None:
            free.remove(rival)
            yield thing, rival


def _fit(points: np.ndarray) -> np.ndarray:
    import choix  # scipy's optimisers come with it: only where a tournament is played

    return np.asarray(choix.ilsr_pairwise_dense(points, alpha=PRIOR, max_iter=1000, tol=1e-6))
