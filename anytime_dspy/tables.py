"""The tables of a report, for a terminal and in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from anytime_dspy.budgets import check_same_grid
from anytime_dspy.errors import AnytimeError
from anytime_dspy.statistics import Difference, Estimate, Summary

__all__ = ["curve_table", "difference_lines", "markdown_table", "summary_table"]

_MEASURES = (
    "Program",
    "Anytime Index, best-so-far",
    "Anytime Index, committed",
    "Final",
    "Average",
    "Answer rate",
    "Prompt tokens",
    "Reasoning tokens",
    "Answer tokens",
    "Hidden tokens",
    "n",
)


def summary_table(rows: Sequence[tuple[str, Summary]]) -> Table:
    """Sets programs side by side, a column each: two of them fit 80 columns.

    Args:
        rows: A label and the summary of its run, for each program.

    Raises:
        BudgetError: The runs were measured at different budgets.
        AnytimeError: Their indices are on different axes.
    """
    table = _table(("", *(label for label, _ in rows)), _caption(rows))
    figures = zip(_MEASURES[1:], *(_cells(label, summary)[1:] for label, summary in rows), strict=True)
    for measure, *cells in figures:
        table.add_row(*map(Text, (measure, *cells)))
    return table


def markdown_table(rows: Sequence[tuple[str, Summary]]) -> str:
    """Returns the same figures in Markdown, a row a program, the caption below; arguments and errors are the same."""
    caption = _caption(rows)
    lines = [_MEASURES, ("---", *["---:"] * (len(_MEASURES) - 1)), *(_cells(label, summary) for label, summary in rows)]
    return "\n".join([*(_markdown_row(line) for line in lines), "", caption])


def curve_table(rows: Sequence[tuple[str, Summary]]) -> Table:
    """Shows the mean committed quality, a row a budget and a column a program, each with its 95% interval.

    Raises:
        BudgetError: The runs were measured at different budgets.
    """
    check_same_grid(summary.budgets for _, summary in rows)
    table = _table(("Budget", *(label for label, _ in rows)), "Mean committed quality with its 95% interval")
    for points in zip(*(summary.points for _, summary in rows), strict=True):
        cells = (str(points[0].budget), *(_estimate(point.committed) for point in points))
        table.add_row(*map(Text, cells))
    return table


def difference_lines(differences: Sequence[tuple[str, Difference]]) -> list[str]:
    """Says in words how two runs differ, a line a figure.

    Args:
        differences: What was compared, and its paired difference.

    >>> difference_lines([("Anytime Index (committed)", Difference(0.0642, 0.0121, 0.118, 60, 0.0182))])
    ['Anytime Index (committed): +0.064 [+0.012, +0.118] on 60 paired items, p = 0.018: higher']
    """
    return [
        f"{label}: {d.mean:+.3f} {_interval(d.low, d.high, '+.3f')} on {d.n} paired items, p = {d.p:.3f}: {_verdict(d)}"
        for label, d in differences
    ]


def _verdict(difference: Difference) -> str:
    if difference.low > 0:
        return "higher"
    if difference.high < 0:
        return "lower"
    if difference.low == difference.high == 0:
        return "the same"
    return "too few items to tell"


def _caption(rows: Sequence[tuple[str, Summary]]) -> str:
    budgets = check_same_grid(summary.budgets for _, summary in rows)
    axes = {summary.axis for _, summary in rows}
    if len(axes) > 1:
        raise AnytimeError("indices on a linear and on a log axis cannot be compared: sum up both runs on one axis")
    grid = ", ".join(map(str, budgets))
    failures = [f"{summary.failed} of {label}" for label, summary in rows if summary.failed]
    return (
        f"Budgets {grid} on a {axes.pop()} axis. Tokens: mean per item at {budgets[-1]}. In brackets: 95% intervals. "
        "Best-so-far picks the best answer by its true score, committed takes the answer at hand."
        + (f" Items left out because they could not be run: {', '.join(failures)}." if failures else "")
    )


def _cells(label: str, summary: Summary) -> tuple[str, ...]:
    tokens = summary.tokens
    return (
        label,
        _estimate(summary.index_best),
        _estimate(summary.index_committed),
        f"{summary.final:.3f}",
        f"{summary.average:.3f}",
        f"{summary.answer_rate:.0%}",
        *(f"{count:.0f}" for count in (tokens.prompt, tokens.reasoning, tokens.answer, tokens.hidden)),
        str(summary.n),
    )


def _estimate(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} {_interval(estimate.low, estimate.high, '.2f')}"


def _interval(low: float, high: float, form: str) -> str:
    return "[–, –]" if math.isnan(low) else f"[{low:{form}}, {high:{form}}]"


def _table(columns: Sequence[str], caption: str) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        show_edge=False,
        caption=Text(caption),
        caption_justify="left",
    )
    first, *others = columns
    table.add_column(Text(first), no_wrap=True)
    for column in others:
        table.add_column(Text(column), justify="right", overflow="fold")
    return table


def _markdown_row(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"
