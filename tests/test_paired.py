"""Paired comparisons, against a second way to compute each."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
from statsmodels.stats.multitest import multipletests

from anytime_dspy.errors import AnytimeError, RunError
from anytime_dspy.statistics.paired import holm, mcnemar, paired_difference, sign_flip


def test_difference_is_paired_by_item_and_not_by_position():
    rng = np.random.default_rng(2)
    before = {f"item {number}": float(value) for number, value in enumerate(rng.random(50))}
    after = {item: before[item] + 0.1 for item in reversed(list(before))}
    difference = paired_difference(before, after)
    # Unpaired, spread of 0.29 an item would make this interval 0.2 wide.
    assert (difference.mean, difference.n) == (pytest.approx(0.1), 50)
    assert difference.high - difference.low < 1e-12


def test_difference_depends_on_no_order():
    rng = np.random.default_rng(2)
    before, after = ({str(item): float(value) for item, value in enumerate(rng.random(40))} for _ in range(2))
    assert paired_difference(dict(reversed(before.items())), after) == paired_difference(before, after)


def test_difference_of_other_items_is_refused():
    with pytest.raises(RunError, match=r"only one run has item 'b' \(2 such in all\)"):
        paired_difference({"a": 0.0, "b": 1.0}, {"a": 0.0, "c": 1.0})


@given(st.lists(st.integers(-8, 8).map(lambda eighths: eighths / 8), min_size=1, max_size=9))
def test_sign_flips_of_few_items_are_counted_exactly(gains):
    total = abs(sum(gains))
    flips = [
        abs(sum(sign * gain for sign, gain in zip(signs, gains, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(gains))
    ]
    assert sign_flip(gains) == pytest.approx(np.mean([flip >= total for flip in flips]), abs=1e-9)


def test_sampled_sign_flips_hold_their_level_and_have_power():
    rng = np.random.default_rng(0)
    null = [sign_flip(rng.normal(size=25), resamples=499) for _ in range(200)]
    assert 0.01 <= np.mean(np.array(null) <= 0.05) <= 0.09
    assert sign_flip(rng.normal(loc=1.5, size=25)) < 0.001


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_mcnemar_agrees_with_statsmodels(pairs):
    before, after = (list(map(float, side)) for side in zip(*pairs, strict=True))
    table = [[sum(pair == (a, b) for pair in pairs) for b in (True, False)] for a in (True, False)]
    assert mcnemar(before, after) == pytest.approx(their_mcnemar(table, exact=True).pvalue, abs=1e-9)


def test_mcnemar_refuses_graded_quality():
    with pytest.raises(AnytimeError, match="0 or 1"):
        mcnemar([0.5, 1.0], [1.0, 1.0])


@settings(max_examples=20)  # statsmodels takes its time
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12))
@pytest.mark.slow
def test_holm_agrees_with_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist(), abs=1e-9)


def test_holm_of_nothing_is_nothing():
    assert holm([]) == ()
