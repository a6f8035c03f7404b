"""The tables that only a report has; those of a sweep are tested with its plot."""

from __future__ import annotations

import pytest

from anytime_dspy.report.overview import overview
from anytime_dspy.report.tables import change_grid, comparison_grid, cost_grid, difference_lines, log_grid
from anytime_dspy.statistics.comparison import Comparison
from anytime_dspy.statistics.paired import Difference
from anytime_dspy.storage.runs import read_runs
from tests.report.made import BUDGETS, made_run


def compared(run: str, low: float, high: float, p: float, p_holm: float) -> Comparison:
    return Comparison("Final", run, "plain", Difference((low + high) / 2, low, high, 30, p), "McNemar", p_holm)


@pytest.fixture
def found(tmp_path):
    return overview(read_runs([made_run(tmp_path / "plain", n=5), made_run(tmp_path / "pdp", (1.0,) * 4, n=5)]))


def test_a_difference_that_several_comparisons_may_give_by_chance_is_unclear():
    several = [compared("leap", 0.01, 0.2, 0.04, 0.08), compared("pdp", 0.05, 0.3, 0.00001, 0.00002)]
    grid = comparison_grid(several)
    assert grid.columns == ("", "Difference", "p", "p, Holm", "Pairs", "It is")
    assert grid.rows[0] == ("Final: leap", "+0.105 [+0.010, +0.200]", "0.040", "0.080", "30", "unclear")
    assert grid.rows[1][2:] == ("< 0.001", "< 0.001", "30", "higher")
    alone = comparison_grid([compared("leap", 0.01, 0.2, 0.04, 0.04)])
    assert alone.rows == (("Final", "+0.105 [+0.010, +0.200]", "0.040", "30", "higher"),)


def test_a_small_p_value_is_no_zero_in_words():
    (line,) = difference_lines([("Final", Difference(0.1, 0.05, 0.15, 30, 0.0001))])
    assert line.endswith("p < 0.001: higher")


def test_a_target_that_no_budget_reaches_is_said_so(found):
    rows = dict(row[::2] for row in change_grid(found.rows, 0.99).rows)
    assert rows["Tokens to quality 0.99"] == str(BUDGETS[0])
    assert change_grid(found.rows[:1], 0.99).rows[0][1] == "not reached"
    assert rows["Went from right to wrong"] == "0%"
    assert rows["Answer settled at, mean"] == str(BUDGETS[0])


def test_costs_stand_in_their_columns_at_every_budget(found):
    grid = cost_grid(found.rows)
    assert len(grid.rows) == 2 * len(BUDGETS)
    assert grid.rows[0] == ("plain, 16", "216", "16", "5", "0", "0.001600")


def test_a_log_axis_gives_small_budgets_their_weight(found):
    linear, log = found.linear[0], found.log[0]
    assert (linear.axis, log.axis) == ("linear", "log")
    assert log.index_committed.value < linear.index_committed.value
    assert log_grid([("plain", log)]).rows[1][1].startswith(f"{log.index_committed.value:.3f}")
