"""Intervals: against scipy, at their edges, and whether they cover as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from anytime_dspy.curve import anytime_index
from anytime_dspy.errors import AnytimeError
from anytime_dspy.statistics.bootstrap import Interval, bootstrap_interval, estimates, widened_level

BUDGETS = (16, 32, 64, 96)


def test_interval_agrees_with_scipy():
    values = np.random.default_rng(3).beta(0.5, 1.5, size=40)
    theirs = stats.bootstrap(
        (values,),
        np.mean,
        method="BCa",
        confidence_level=widened_level(0.95, 40),
        rng=np.random.default_rng(5),
    ).confidence_interval
    ours = bootstrap_interval(values, seed=5)
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=1e-12), pytest.approx(theirs.high, abs=1e-12))


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_same_seed_same_interval(values, seed):
    first, again = (bootstrap_interval(values, resamples=99, seed=seed) for _ in range(2))
    assert repr(first) == repr(again)


@given(st.lists(st.floats(0.0, 1.0, allow_subnormal=False), min_size=2, max_size=30))
def test_interval_lies_within_the_data(values):
    interval = bootstrap_interval(values, resamples=199)
    assert min(values) - 1e-12 <= interval.low <= interval.high <= max(values) + 1e-12


def test_another_seed_gives_another_interval():
    values = np.random.default_rng(3).random(40)
    assert bootstrap_interval(values, seed=0) != bootstrap_interval(values, seed=1)


def test_one_item_says_nothing_about_the_spread():
    interval = bootstrap_interval([0.5])
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1.0])
def test_constant_data_have_an_interval_without_width(constant):
    assert bootstrap_interval([constant] * 7) == Interval(constant, constant)


def test_percentiles_stand_in_where_the_correction_is_undefined():
    # The squares of such differences are 0 in floating point, so there is no acceleration to compute.
    interval = bootstrap_interval([0.0] * 5 + [1e-200])
    assert 0.0 <= interval.low <= 1e-200 / 6 <= interval.high <= 1e-200


def test_a_higher_confidence_is_a_wider_interval():
    values = np.random.default_rng(3).random(40)
    narrow, wide = (bootstrap_interval(values, confidence=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("values", [[], [0.5, float("nan")], [[0.1, 0.2], [0.3, 0.4]]])
def test_unusable_values_are_refused(values):
    with pytest.raises(AnytimeError, match="one finite number an item"):
        bootstrap_interval(values)


def made_qualities(rng: np.random.Generator, rates: tuple[float, ...], difficulty: np.ndarray) -> np.ndarray:
    """0 or 1 at each budget for items of unlike difficulty, shape (data sets, n, T): one item's budgets go together."""
    return (rng.random((*difficulty.shape, len(rates))) < difficulty[..., np.newaxis] * rates).astype(float)


def indices(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    difficulty = rng.beta(0.5, 1.0, shape)
    return anytime_index(made_qualities(rng, (0.3, 0.5, 0.8, 1.0), difficulty), BUDGETS, best_so_far=False)


def gains(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    difficulty = rng.beta(0.5, 1.0, shape)
    before, after = (made_qualities(rng, rates, difficulty) for rates in ((0.3, 0.5, 0.8, 1.0), (0.5, 0.6, 0.8, 1.0)))
    first, second = (anytime_index(run, BUDGETS, best_so_far=False) for run in (before, after))
    return second - first


def scores_of_a_hard_task(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.beta(0.5, 1.5, shape)


def coverage(data_sets: np.ndarray, truth: float, bounds: tuple[float, float]) -> float:
    """The share of data sets, one a row, whose interval holds the truth."""
    made = estimates(data_sets, bounds=bounds, seed=0)
    return sum(one.low <= truth <= one.high for one in made) / len(made)


@pytest.mark.parametrize("n", [10, 20, 30, 60])
@pytest.mark.parametrize("kind", [indices, gains, scores_of_a_hard_task])
def test_intervals_cover_the_truth_as_often_as_they_say(kind, n):
    bounds = (-1.0, 1.0) if kind is gains else (0.0, 1.0)
    truth = kind(np.random.default_rng(1), (1_000, 1_000)).mean()
    assert 0.92 <= coverage(kind(np.random.default_rng(n), (500, n)), truth, bounds) <= 0.98


@pytest.mark.parametrize("n", [10, 20, 30])
def test_intervals_of_rare_successes_cover_too(n):
    # Three data sets of ten hold no success at n = 10. Few values are possible, so that more than 98% may be covered.
    rarely_right = (np.random.default_rng(n).random((500, n)) < 0.1).astype(float)
    assert coverage(rarely_right, 0.1, (0.0, 1.0)) >= 0.92


def test_alike_items_leave_room_for_what_was_not_met():
    # Clopper and Pearson's exact interval for none of ten, and for ten of ten.
    exact = stats.binomtest(0, 10).proportion_ci(0.95, method="exact")
    none, every = (bootstrap_interval([value] * 10, bounds=(0.0, 1.0)) for value in (0.0, 1.0))
    assert (none.low, none.high) == (0.0, pytest.approx(exact.high, abs=1e-9))
    assert (every.low, every.high) == (pytest.approx(1.0 - exact.high, abs=1e-9), 1.0)
