"""Intervals, paired comparisons and summaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import dspy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import anytime_dspy as ad
from anytime_dspy.checkpoint import Checkpoint, Usage
from anytime_dspy.curve import anytime_index
from anytime_dspy.errors import BudgetError, RunError
from anytime_dspy.statistics.bootstrap import bootstrap_interval
from anytime_dspy.statistics.summary import index_difference, item_indices, summarise
from anytime_dspy.storage.results import ExampleResult, result_from
from anytime_dspy.testing import chat, scripted_lm

BUDGETS = (16, 32, 64)


def result(
    item: str, qualities: Sequence[float | None], budgets: Sequence[int] = BUDGETS, prompt_tokens: int = 100
) -> ExampleResult:
    """One item's result; a quality of None is a checkpoint without an answer."""
    checkpoints = [
        Checkpoint(
            budget=budget,
            prediction=dspy.Prediction(answer="a"),
            reasoning_tokens=budget,
            answer_tokens=3,
            forced=True,
            answered=quality is not None,
            usage=Usage(prompt_tokens + budget, budget, 3, 1, 2),
        )
        for budget, quality in zip(budgets, qualities, strict=True)
    ]
    return result_from(item, {"question": item}, checkpoints, [quality or 0.0 for quality in qualities])


def run(matrix: np.ndarray) -> list[ExampleResult]:
    return [result(f"item {number}", row.tolist()) for number, row in enumerate(matrix)]


def test_index_difference_pairs_runs_and_refuses_another_grid():
    before, after = np.zeros((20, 3)), np.zeros((20, 3))
    after[:10, 2] = 1.0
    difference = index_difference(run(before), run(after), best_so_far=False)
    assert difference.mean == pytest.approx(0.5 * 32 / 96 * 2 / 2)
    assert 0 < difference.low < difference.mean < difference.high
    other = [result(f"item {number}", [0.0, 0.0, 1.0], budgets=(16, 32, 128)) for number in range(20)]
    with pytest.raises(BudgetError, match="16,32,64 and 16,32,128 cannot be compared"):
        index_difference(run(before), other)


def test_an_item_that_failed_in_one_run_is_in_no_pair():
    matrix = np.random.default_rng(4).random((20, 3))
    failed = [*run(matrix)[:-1], replace(run(matrix)[-1], points=(), error="outage")]
    assert index_difference(run(matrix), failed).n == 19
    assert index_difference(failed, run(matrix)) == index_difference(run(matrix)[:-1], run(matrix)[:-1])


def test_runs_on_unlike_data_are_refused():
    some, fewer = run(np.zeros((3, 3))), run(np.zeros((2, 3)))
    with pytest.raises(RunError, match=r"only one run has item 'item 2' \(1 such in all\)"):
        index_difference(some, fewer)
    others = [replace(one, inputs={"question": "of another file"}) for one in some]
    with pytest.raises(RunError, match="item 'item 0' is another one in each run"):
        index_difference(some, others)


def test_summary_holds_what_the_formulas_say():
    matrix = np.random.default_rng(0).integers(0, 2, size=(60, 3)).astype(float)
    summary = summarise(run(matrix))
    assert (summary.n, summary.failed, summary.budgets) == (60, 0, BUDGETS)
    assert summary.index_best.value == pytest.approx(anytime_index(matrix, BUDGETS).mean())
    assert summary.index_committed.value == pytest.approx(anytime_index(matrix, BUDGETS, best_so_far=False).mean())
    assert summary.index_of_mean_curve == pytest.approx(anytime_index(matrix.mean(axis=0), BUDGETS))
    assert summary.curve.qualities == pytest.approx(tuple(matrix.mean(axis=0)))
    assert (summary.final, summary.average) == (pytest.approx(matrix[:, 2].mean()), pytest.approx(matrix.mean()))
    assert summary.points[1].best_so_far.value == pytest.approx(matrix[:, :2].max(axis=1).mean())
    assert summary.tokens_to_target(0.0) == 16
    assert summary.tokens_to_target(1.0) is None
    interval = bootstrap_interval(list(item_indices(run(matrix)).values()))
    assert (summary.index_best.low, summary.index_best.high) == pytest.approx((interval.low, interval.high), abs=0.01)


@given(st.integers(1, 6), st.data())
def test_summary_orders_its_three_indices(n, data):
    row = st.lists(st.floats(0.0, 1.0, allow_subnormal=False), min_size=3, max_size=3)
    summary = summarise(run(np.array(data.draw(st.lists(row, min_size=n, max_size=n)))))
    assert summary.index_best.value >= summary.index_of_mean_curve - 1e-9
    assert summary.index_of_mean_curve >= summary.index_committed.value - 1e-9


def test_summary_depends_on_no_order_of_arrival():
    results = run(np.random.default_rng(1).random((40, 3)))
    assert summarise(results[::-1]) == summarise(results)


def test_a_sweep_with_a_wider_scale_is_reported_like_any_other():
    metric = ad.AnytimeIndex(lambda example, prediction: 3, q_max=4.0)
    program = ad.Anytime(dspy.Predict("question -> answer"), (8, 16))
    example = dspy.Example(id="one", question="?").with_inputs("question")
    with dspy.context(lm=scripted_lm(lambda request: chat(answer="7"))):
        results = ad.sweep(program, [example], metric)
    assert [point.quality for point in results[0].points] == [0.75, 0.75]
    assert summarise(results).index_committed.value == pytest.approx(0.75)
    assert ad.index_difference(results, results).mean == 0.0


def test_unanswered_checkpoints_lower_quality_and_answer_rate():
    summary = summarise([result("a", [None, 1.0, 1.0]), result("b", [None, None, 1.0])])
    assert summary.answer_rate == pytest.approx(0.5)
    assert [point.answer_rate for point in summary.points] == [0.0, 0.5, 1.0]
    assert summary.curve.qualities == (0.0, 0.5, 1.0)


def test_tokens_are_means_at_the_largest_budget():
    tokens = summarise([result("a", [0, 0, 0]), result("b", [0, 0, 1], prompt_tokens=300)]).tokens
    assert (tokens.prompt, tokens.reasoning, tokens.answer, tokens.hidden) == (264.0, 64.0, 3.0, 1.0)


def test_items_that_could_not_be_run_are_counted_and_in_no_mean():
    whole = [result("a", [0.0, 1.0, 1.0]), result("b", [1.0, 1.0, 1.0])]
    outage = replace(whole[0], id="c", points=(), error="the LM did not answer")
    assert replace(summarise([*whole, outage]), failed=0) == summarise(whole)
    assert summarise([*whole, outage]).failed == 1
    with pytest.raises(BudgetError, match="nothing measured"):
        summarise([outage])


def test_a_run_on_two_grids_is_refused():
    with pytest.raises(BudgetError, match="16,32,64 and 1,2,3"):
        summarise([result("a", [0.0, 0.0, 0.0]), result("b", [0.0, 0.0, 0.0], budgets=(1, 2, 3))])
