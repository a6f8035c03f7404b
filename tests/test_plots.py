"""Plots and tables of runs."""

from __future__ import annotations

import io
import math
import sys

import dspy
import numpy as np
import pytest
from rich.console import Console

from anytime_dspy.checkpoint import Checkpoint, Usage
from anytime_dspy.errors import AnytimeError, BudgetError, RunError
from anytime_dspy.report.plots import Series, plot_curves
from anytime_dspy.report.tables import curve_table, difference_lines, markdown_table, summary_table
from anytime_dspy.statistics.paired import Difference
from anytime_dspy.statistics.summary import Summary, summarise
from anytime_dspy.storage.results import ExampleResult, result_from


def summary(rates: tuple[float, ...], *, n: int = 40, axis="linear", failed: int = 0, seed: int = 0) -> Summary:
    """A run whose answers are right at the given rates, at 16, 32, 64, ... tokens."""
    rng = np.random.default_rng(seed)
    results = []
    for item in range(n):
        checkpoints = [
            Checkpoint(16 * 2**step, dspy.Prediction(), 16 * 2**step, 3, True, True, Usage(12_345, 16 * 2**step, 3))
            for step in range(len(rates))
        ]
        results.append(result_from(str(item), {}, checkpoints, [float(rng.random() < rate) for rate in rates]))
    failures = [ExampleResult(f"failed {number}", {}, (), error="outage") for number in range(failed)]
    return summarise([*results, *failures], axis=axis)


@pytest.fixture(scope="module")
def rows() -> list[tuple[str, Summary]]:
    """Three programs on one grid; a name as rich's markup must be shown as it is."""
    return [
        ("zero-shot", summary((0.1, 0.1, 0.3))),
        ("PDP(+) [bold]", summary((0.2, 0.4, 0.7), seed=1)),
        ("LEAP with five bullet points", summary((0.1, 0.2, 0.5), seed=2, failed=2)),
    ]


def shown(renderable: object, width: int = 100) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue().splitlines()


def test_summary_table_fits_a_hundred_columns_and_shows_every_figure(rows):
    lines = shown(summary_table(rows))
    assert max(map(len, lines)) <= 100
    text = "\n".join(lines)
    assert "…" not in text
    for label, one in rows:
        assert label.split()[0] in text
        assert f"{one.index_best.value:.3f}" in text
        assert f"{one.index_committed.value:.3f}" in text
        assert f"[{one.index_committed.low:.2f}, {one.index_committed.high:.2f}]" in text
        assert f"{one.final:.3f}" in text
        assert f"{one.average:.3f}" in text
    assert "12345" in text
    assert "[bold]" in text
    assert "2 of LEAP with five bullet points" in text.replace("\n", " ").replace("  ", " ")


def test_markdown_holds_the_same_cells(rows):
    head, rule, *body = markdown_table([*rows, ("a|b", rows[0][1])]).splitlines()
    assert head.count("|") == rule.count("|") == 13
    assert len(body) == 4 + 2
    first = [cell.strip() for cell in body[0].strip("|").split("|")]
    best = rows[0][1].index_best
    assert first[:2] == ["zero-shot", f"{best.value:.3f} [{best.low:.2f}, {best.high:.2f}]"]
    assert first[-1] == "40"
    assert r"a\|b" in body[3]


def test_curve_table_has_a_row_a_budget(rows):
    text = "\n".join(shown(curve_table(rows)))
    for _, one in rows:
        for point in one.points:
            estimate = point.committed
            assert f"{estimate.value:.3f} [{estimate.low:.2f}, {estimate.high:.2f}]" in text


def test_one_item_has_no_interval():
    assert "[–, –]" in "\n".join(shown(summary_table([("one", summary((0.5, 0.5), n=1))])))


def test_what_cannot_be_compared_is_not_put_in_one_table(rows):
    for table in (summary_table, markdown_table, curve_table):
        with pytest.raises(BudgetError, match="16,32,64 and 16,32 cannot be compared"):
            table([rows[0], ("short", summary((0.1, 0.2)))])
    with pytest.raises(AnytimeError, match="linear and on a log axis"):
        summary_table([rows[0], ("log", summary((0.1, 0.2, 0.3), axis="log"))])


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.01, 0.1, "higher"),
        (-0.1, -0.01, "lower"),
        (-0.1, 0.1, "too few items to tell"),
        (0.0, 0.0, "the same"),
        (math.nan, math.nan, "too few items to tell"),
    ],
)
def test_a_difference_is_called_one_only_where_its_interval_leaves_out_zero(low, high, verdict):
    (line,) = difference_lines([("Final", Difference((low + high) / 2, low, high, 30, 0.5))])
    assert line.startswith("Final: ")
    assert line.endswith(f"on 30 paired items, p = 0.500: {verdict}")


def test_plot_is_a_picture_that_depends_on_its_data_alone(rows, tmp_path):
    series = [Series.of(*row) for row in rows]
    for suffix, opening in ((".png", b"\x89PNG"), (".svg", b"<?xml")):
        first, again, other = (tmp_path / f"{name}{suffix}" for name in ("first", "again", "other"))
        assert plot_curves(series, first, title="Trip") == first
        plot_curves(series, again, title="Trip")
        plot_curves(series[:2], other, title="Trip")
        assert first.read_bytes().startswith(opening)
        assert first.read_bytes() == again.read_bytes()
        assert first.read_bytes() != other.read_bytes()


def test_legend_gives_the_indices_of_the_curves(rows, tmp_path):
    import matplotlib

    label, one = rows[1]
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        picture = plot_curves([Series.of(label, one)], tmp_path / "curves.svg", quality_label="rate").read_text()
    legend = f"{label}: index {one.index_committed.value:.3f} (best so far {one.index_best.value:.3f})"
    assert legend in picture
    for text in ("rate", "16", "32", "64"):
        assert f">{text}</text>" in picture


def test_a_single_point_without_an_interval_can_be_drawn(tmp_path):
    one = Series.of("one", summary((0.5,), n=1))
    assert plot_curves([one], tmp_path / "one.png").stat().st_size > 0


def test_unusable_plots_are_refused(rows, tmp_path, monkeypatch):
    series = [Series.of(*row) for row in rows]
    with pytest.raises(AnytimeError, match=r"written as \.png or \.svg, not as 'curves\.pdf'"):
        plot_curves(series, tmp_path / "curves.pdf")
    with pytest.raises(RunError, match=r"cannot write the plot .*: No such file"):
        plot_curves(series, tmp_path / "missing" / "curves.png")
    with pytest.raises(BudgetError, match="cannot be compared"):
        plot_curves([series[0], Series.of("short", summary((0.1, 0.2)))], tmp_path / "curves.png")
    with pytest.raises(BudgetError, match="nothing measured"):
        plot_curves([], tmp_path / "curves.png")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(AnytimeError, match=r"pip install 'anytime-dspy\[plot\]'"):
        plot_curves(series, tmp_path / "curves.png")
