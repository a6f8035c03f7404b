"""The formula of the Anytime Index, the curve and the metric."""

from __future__ import annotations

import copy
import inspect

import dspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anytime_dspy.budgets import check_budgets, check_same_grid, parse_budgets
from anytime_dspy.checkpoint import Checkpoint, Usage
from anytime_dspy.curve import AnytimeCurve
from anytime_dspy.errors import AnytimeError, BudgetError, ProgramError
from anytime_dspy.metric import AnytimeIndex, anytime_index

GRIDS = st.lists(st.integers(1, 20_000), min_size=1, max_size=8, unique=True).map(sorted)
SETTINGS = st.fixed_dictionaries({"best_so_far": st.booleans(), "axis": st.sampled_from(["linear", "log"])})


@st.composite
def curves(draw: st.DrawFn) -> tuple[list[float], list[int]]:
    budgets = draw(GRIDS)
    quality = st.floats(0.0, 1.0, allow_subnormal=False)
    return draw(st.lists(quality, min_size=len(budgets), max_size=len(budgets))), budgets


@pytest.mark.parametrize(
    ("qualities", "budgets", "best_so_far", "axis", "expected"),
    [
        ([0.2, 0.6, 0.4], [10, 20, 40], True, "linear", (0.4 * 10 + 0.6 * 20) / 30),
        ([0.2, 0.6, 0.4], [10, 20, 40], False, "linear", (0.4 * 10 + 0.5 * 20) / 30),
        ([0.2, 0.6, 0.4], [10, 20, 40], True, "log", (0.4 + 0.6) / 2),
        ([0.2, 0.6, 0.4], [10, 20, 40], False, "log", (0.4 + 0.5) / 2),
        ([0.0, 1.0], [0, 8], True, "linear", 0.5),
        ([0.7], [64], True, "linear", 0.7),
        ([0.7], [64], False, "log", 0.7),
    ],
)
def test_index_equals_the_value_worked_out_by_hand(qualities, budgets, best_so_far, axis, expected):
    index = anytime_index(qualities, budgets, best_so_far=best_so_far, axis=axis)
    assert isinstance(index, float)
    assert index == pytest.approx(expected, abs=1e-12)


def test_index_of_many_curves_has_their_leading_shape():
    qualities = np.random.default_rng(0).random((3, 5, 4))
    indices = anytime_index(qualities, [1, 2, 4, 8])
    assert indices.shape == (3, 5)
    assert indices[2, 4] == pytest.approx(anytime_index(qualities[2, 4], [1, 2, 4, 8]))


def test_q_max_rescales_the_index():
    assert anytime_index([1.0, 3.0], [1, 2], q_max=4.0) == pytest.approx(0.5)


@given(curves(), SETTINGS)
def test_index_lies_between_nothing_and_everything(curve, settings):
    assert 0.0 <= anytime_index(*curve, **settings) <= 1.0


@given(curves(), st.data(), SETTINGS)
def test_raising_a_quality_never_lowers_the_index(curve, data, settings):
    qualities, budgets = curve
    position = data.draw(st.integers(0, len(budgets) - 1))
    raised = [*qualities]
    raised[position] = data.draw(st.floats(qualities[position], 1.0, allow_subnormal=False))
    assert anytime_index(raised, budgets, **settings) >= anytime_index(qualities, budgets, **settings) - 1e-12


@given(curves(), st.sampled_from(["linear", "log"]))
def test_best_so_far_is_at_least_committed(curve, axis):
    assert anytime_index(*curve, axis=axis) >= anytime_index(*curve, axis=axis, best_so_far=False) - 1e-12


@given(GRIDS, st.floats(0.0, 1.0), SETTINGS)
def test_a_constant_curve_has_that_constant_as_its_index(budgets, constant, settings):
    assert anytime_index([constant] * len(budgets), budgets, **settings) == pytest.approx(constant, abs=1e-12)


@given(GRIDS, SETTINGS)
def test_nothing_solved_is_zero(budgets, settings):
    assert anytime_index([0.0] * len(budgets), budgets, **settings) == 0.0


@given(curves(), st.data())
def test_points_on_the_line_between_two_others_change_nothing(curve, data):
    qualities, budgets = curve
    qualities = sorted(qualities)  # a rising curve is its own best so far
    finer = sorted({*budgets, *data.draw(st.lists(st.integers(budgets[0], budgets[-1]), max_size=5))})
    between = np.interp(finer, budgets, qualities)
    for best_so_far in (True, False):
        coarse = anytime_index(qualities, budgets, best_so_far=best_so_far)
        assert anytime_index(between, finer, best_so_far=best_so_far) == pytest.approx(coarse, abs=1e-9)


@pytest.mark.parametrize(("checkpoints", "per_item"), [(4, 0.50), (8, 0.68), (16, 0.83)])
def test_best_so_far_flatters_a_four_way_guesser(checkpoints, per_item):
    """The oracle reading of the paper's formula; the mean curve of the same guesses is flat at chance."""
    guesses = np.random.default_rng(7).random((20_000, checkpoints)) < 0.25
    budgets = [64 * step for step in range(1, checkpoints + 1)]
    assert anytime_index(guesses, budgets).mean() == pytest.approx(per_item, abs=0.01)
    assert anytime_index(guesses, budgets, best_so_far=False).mean() == pytest.approx(0.25, abs=0.01)
    assert anytime_index(guesses.mean(axis=0), budgets) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (([0.5, 1.5], [1, 2]), {}, r"\[0, 1\], got 1.5"),
        (([0.5, -0.1], [1, 2]), {}, r"got -0.1"),
        (([0.5, float("nan")], [1, 2]), {}, "got nan"),
        (([0.5, 0.6, 0.7], [1, 2]), {}, r"\(3,\) do not fit 2 budgets"),
        ((0.5, [1]), {}, r"shape \(\) do not fit 1"),
        (([[0.5], [0.6, 0.7]], [1, 2]), {}, "array of numbers"),
        (([0.5, 0.6], [0, 2]), {"axis": "log"}, "at least 1 token, got 0"),
        (([0.5, 0.6], [1, 2]), {"axis": "cubic"}, "'linear' or 'log'"),
        (([0.0, 0.0], [1, 2]), {"q_max": 0.0}, "q_max must be a positive number"),
        (([0.0, 0.0], [1, 2]), {"q_max": float("nan")}, "q_max must be a positive number"),
    ],
)
def test_unusable_input_is_refused_in_one_line(arguments, settings, message):
    with pytest.raises(AnytimeError, match=message) as refusal:
        anytime_index(*arguments, **settings)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("budgets", "message"),
    [
        ([], "no budgets"),
        ([0], "at least 1 token, got 0"),
        ([-4, 8], "at least 1 token, got -4"),
        ([64, 64], "64 is given twice"),
        ([128, 64], "64 follows 128"),
        ([True, 2], "whole numbers of tokens, got True"),
        ([16.0], "whole numbers of tokens, got 16.0"),
        ("64", "whole numbers of tokens, got '6'"),
        (64, r"such as \(64, 128, 256\), got 64"),
    ],
)
def test_unusable_budgets_are_refused(budgets, message):
    with pytest.raises(BudgetError, match=message):
        check_budgets(budgets)


@given(GRIDS)
def test_budgets_survive_the_command_line(budgets):
    assert parse_budgets(",".join(map(str, budgets))) == check_budgets(np.array(budgets)) == tuple(budgets)


@pytest.mark.parametrize("text", ["abc", "", "16,,32", "16;32", "1e3", "16,x", "²"])
def test_text_that_is_no_grid_is_refused(text):
    with pytest.raises(BudgetError, match="such as 64,128,256"):
        parse_budgets(text)


def test_a_curve_says_what_its_columns_need():
    curve = AnytimeCurve((16, 32, 64), (0.5, 0.25, 1.0))
    assert (curve.final, curve.average) == (1.0, pytest.approx(7 / 12))
    assert curve.best_so_far == (0.5, 0.5, 1.0)
    assert (curve.tokens_to(0.2), curve.tokens_to(0.6), curve.tokens_to(1.1)) == (16, 64, None)
    assert curve.index() == anytime_index(curve.qualities, curve.budgets)
    assert curve.index(best_so_far=False, axis="log") == pytest.approx((0.375 + 0.625) / 2)


def test_results_are_compared_on_one_grid_only():
    assert check_same_grid([(1, 2), (1, 2)]) == (1, 2)
    with pytest.raises(BudgetError, match=r"1,2 and 1,4 cannot be compared"):
        check_same_grid([(1, 2), (1, 4)])
    with pytest.raises(BudgetError, match="nothing measured"):
        check_same_grid([])
    with pytest.raises(BudgetError, match="1 qualities do not fit 2 budgets"):
        AnytimeCurve((1, 2), (0.0,))


def checkpoint(budget: int, answer: str, *, answered: bool = True) -> Checkpoint:
    return Checkpoint(budget, dspy.Prediction(answer=answer), budget, 1, True, answered, Usage())


def prediction(*answers: str) -> dspy.Prediction:
    points = [checkpoint(16 * 2**step, answer, answered=answer != "") for step, answer in enumerate(answers)]
    return dspy.Prediction(answer=answers[-1], checkpoints=points)


def exact(example: dspy.Example, prediction: dspy.Prediction) -> bool:
    return bool(example.answer == prediction.answer)


GOLD = dspy.Example(answer="7").with_inputs()


def test_metric_scores_each_checkpoint():
    metric = AnytimeIndex(exact)
    curve = metric.curve(GOLD, prediction("1", "7", "2"))
    assert curve == AnytimeCurve((16, 32, 64), (0.0, 1.0, 0.0))
    assert metric(GOLD, prediction("1", "7", "2")) == curve.index()
    committed = AnytimeIndex(exact, best_so_far=False, axis="log")
    assert committed(GOLD, prediction("1", "7", "2")) == pytest.approx(0.5)


def test_a_checkpoint_without_an_answer_counts_zero_and_is_not_asked_about():
    asked = []

    def quality(example, prediction):
        asked.append(prediction.answer)
        return 1.0

    assert AnytimeIndex(quality).curve(GOLD, prediction("", "7")).qualities == (0.0, 1.0)
    assert asked == ["7"]


@pytest.mark.parametrize("value", [1.5, -0.25, float("nan"), None, "1"])
def test_a_quality_off_its_scale_is_named_with_its_budget(value):
    with pytest.raises(AnytimeError, match=rf"number in \[0, 1\], but returned {value!r} at budget 16"):
        AnytimeIndex(lambda example, prediction: value)(GOLD, prediction("7"))


def test_numbers_of_numpy_are_numbers():
    assert AnytimeIndex(lambda example, prediction: np.float32(0.5))(GOLD, prediction("7")) == 0.5


def test_a_wider_scale_is_declared_by_q_max():
    assert AnytimeIndex(lambda example, prediction: 3, q_max=4.0)(GOLD, prediction("7")) == 0.75


def test_a_plain_prediction_is_refused_with_the_way_out():
    for plain in (dspy.Prediction(answer="7"), dspy.Prediction(answer="7", checkpoints=[])):
        with pytest.raises(ProgramError, match=r"wrap the program in ad\.Anytime"):
            AnytimeIndex(exact)(GOLD, plain)


def test_what_the_quality_function_raises_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        AnytimeIndex(lambda example, prediction: 1 / 0)(GOLD, prediction("7"))


def test_metric_can_be_copied_and_takes_the_five_arguments_of_gepa():
    metric = copy.deepcopy(AnytimeIndex(exact, axis="log"))
    inspect.signature(metric).bind(None, None, None, None, None)
    told = metric(GOLD, prediction("7"), None, "predictor", [])
    assert told.score == 1.0
    assert "best from the start" in told.feedback
    assert metric == AnytimeIndex(exact, axis="log")


class Student(dspy.Module):
    """Answers from the second checkpoint on, as a program that knows its answer after 32 tokens."""

    def forward(self, answer: str, known_from: int) -> dspy.Prediction:
        return prediction(*(answer if step >= known_from else "?" for step in range(3)))


def test_dspy_evaluates_with_the_metric_in_threads():
    devset = [
        dspy.Example(answer=str(number), known_from=number % 4).with_inputs("answer", "known_from")
        for number in range(80)
    ]
    evaluate = dspy.Evaluate(devset=devset, num_threads=8, display_progress=False)
    outcome = evaluate(Student(), metric=AnytimeIndex(exact))
    # Known from 16, 32, 64 tokens on, and never: 1, (8 + 32) / 48, 16 / 48, 0.
    expected = [(1.0, 5 / 6, 1 / 3, 0.0)[number % 4] for number in range(80)]
    assert [score for _, _, score in outcome.results] == pytest.approx(expected)
    assert outcome.score == pytest.approx(100 * sum(expected) / 80, abs=0.01)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (("1", "7", "7"), "only after 16 tokens"),
        (("7", "1", "7"), "lost it by 32 tokens"),
        (("1", "2", "3"), "No answer was right"),
    ],
)
def test_feedback_says_at_which_budget_it_went_wrong(answers, words):
    assert words in AnytimeIndex(exact)(GOLD, prediction(*answers), pred_name="predictor").feedback
