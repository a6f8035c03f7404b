"""What the metric promises in so many words, each with an example that fails where it does not hold."""

from __future__ import annotations

import dspy
import numpy as np
import pytest

import anytime_dspy as ad
from anytime_dspy.checkpoint import Checkpoint, Usage

GOLD = dspy.Example(answer="7").with_inputs()


def prediction(*answers):
    points = [
        Checkpoint(16 * 2**step, dspy.Prediction(answer=answer), 1, 1, True, True, Usage())
        for step, answer in enumerate(answers)
    ]
    return dspy.Prediction(answer=answers[-1], checkpoints=points)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # Right at 32 of 16, 32 and 64 tokens, and wrong again at 64.
        ({}, (0 + 1) / 2 * 16 / 48 + 32 / 48),
        ({"axis": "log"}, (0.5 + 1) / 2),
        ({"best_so_far": False}, 0.5),
        ({"best_so_far": False, "axis": "log"}, 0.5),
    ],
    ids=str,
)
def test_the_metric_passes_its_options_on(options, expected):
    metric = ad.AnytimeIndex(lambda example, prediction: example.answer == prediction.answer, **options)
    assert metric(GOLD, prediction("1", "7", "1")) == pytest.approx(expected)
    told = metric(GOLD, prediction("1", "7", "1"), pred_name="predict")
    assert told.score == pytest.approx(expected)


@pytest.mark.parametrize("options", [{"axis": "linear"}, {"axis": "log"}], ids=str)
def test_the_axis_tells_where_the_two_differ(options):
    metric = ad.AnytimeIndex(lambda example, prediction: prediction.answer == "7", best_so_far=False, **options)
    expected = {"linear": (0.5 * 16 + 32) / 48, "log": (0.5 + 1) / 2}[options["axis"]]
    assert metric(GOLD, prediction("1", "7", "7")) == pytest.approx(expected)


@pytest.mark.parametrize("value", [True, 1, np.float32(1), np.int64(1)], ids=repr)
def test_qualities_are_plain_floats_whatever_number_a_quality_is(value):
    curve = ad.AnytimeIndex(lambda example, prediction: value).curve(GOLD, prediction("7"))
    assert curve.qualities == (1.0,)
    assert type(curve.qualities[0]) is float


@pytest.mark.parametrize("value", [0.0, 4.0])
def test_both_ends_of_the_scale_are_on_it(value):
    metric = ad.AnytimeIndex(lambda example, prediction: value, q_max=4.0)
    assert metric(GOLD, prediction("7")) == value / 4


@pytest.mark.parametrize("value", [4.1, -0.1])
def test_what_is_off_a_wider_scale_is_refused_with_that_scale(value):
    metric = ad.AnytimeIndex(lambda example, prediction: value, q_max=4.0)
    with pytest.raises(ad.AnytimeError, match=r"in \[0, 4\]"):
        metric(GOLD, prediction("7"))
