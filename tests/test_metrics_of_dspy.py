"""Metrics that DSPy's own Evaluate takes are quality functions as they are."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import dspy
import numpy as np
import pytest
from dspy.evaluate import SemanticF1

import anytime_dspy as ad
from anytime_dspy.checkpoint import Checkpoint, Usage
from anytime_dspy.measure import sweep
from anytime_dspy.testing import chat, question_of, scripted_lm, words


def predicted(*budgets: int) -> dspy.Prediction:
    answer = dspy.Prediction(answer="7")
    points = [Checkpoint(budget, answer, budget, 1, True, True, Usage()) for budget in budgets]
    return dspy.Prediction(answer="7", checkpoints=points)


def gepa_metric(gold, pred, trace, pred_name, pred_trace):
    return dspy.Prediction(score=0.5, feedback="name the city")


def usual_gepa_metric(gold, pred, trace=None, pred_name=None, pred_trace=None):
    return gepa_metric(gold, pred, trace, pred_name, pred_trace)


@pytest.mark.parametrize(
    ("value", "quality"),
    [
        (True, 1.0),
        (np.True_, 1.0),
        (np.bool_(0), 0.0),
        (np.float32(0.5), 0.5),
        (np.int64(1), 1.0),
        (np.array(0.5), 0.5),
        (Fraction(1, 4), 0.25),
        (Decimal("0.5"), 0.5),
        (dspy.Prediction(score=0.5, feedback="so"), 0.5),
        (dspy.Prediction(score=np.True_), 1.0),
    ],
)
def test_whatever_dspys_evaluate_takes_is_a_quality(value, quality):
    plain = dspy.Evaluate(
        devset=[dspy.Example().with_inputs()], metric=lambda example, prediction: value, display_progress=False
    )
    if not isinstance(value, Decimal | Fraction):  # whose progress bar cannot print them
        assert plain(lambda: dspy.Prediction()).score == 100 * quality
    metric = ad.AnytimeIndex(lambda example, prediction: value)
    index = metric(dspy.Example(), predicted(16, 32))
    assert (index, type(index)) == (quality, float)


@pytest.mark.parametrize(
    "value",
    [float("nan"), np.float32("nan"), 1.5, -0.1, 1j, "1", None, [1.0], dspy.Prediction(answer=1), Decimal("NaN")],
)
def test_what_is_no_score_is_one_clear_error(value):
    metric = ad.AnytimeIndex(lambda example, prediction: value)
    with pytest.raises(ad.AnytimeError, match=r"must return a number in \[0, 1\], but returned .* at budget 16"):
        metric(dspy.Example(), predicted(16))


@pytest.mark.parametrize("quality", [gepa_metric, usual_gepa_metric])
def test_a_metric_for_gepa_scores_and_its_words_reach_gepa(quality):
    metric = ad.AnytimeIndex(quality)
    assert metric(dspy.Example(), predicted(16)) == 0.5
    told = metric(dspy.Example(), predicted(16, 32), None, "predict", None)
    assert told.score == 0.5
    assert told.feedback.endswith("Of its last answer: name the city")
    assert "16 tokens: 0.5" in told.feedback


def test_dspys_semantic_f1_scores_a_sweep():
    def reply(request):
        if "system_response" in question_of(request):
            return chat(reasoning="half of it", recall=0.5, precision=0.5)
        return chat(reasoning=words(4), response="Paris")

    examples = [dspy.Example(question="capital?", response="Paris, France").with_inputs("question")]
    anytime = ad.Anytime(dspy.ChainOfThought("question -> response"), (16, 32), answer_tokens=20)
    with dspy.context(lm=scripted_lm(reply)):
        [result] = sweep(anytime, examples, ad.AnytimeIndex(SemanticF1()))
    assert [point.quality for point in result.points] == [0.5, 0.5]
