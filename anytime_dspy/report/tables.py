"""The tables of a report, as text for the terminal, Markdown and the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from anytime_dspy.budgets import check_same_grid
from anytime_dspy.errors import AnytimeError
from anytime_dspy.statistics.bootstrap import Estimate
from anytime_dspy.statistics.comparison import Comparison
from anytime_dspy.statistics.paired import Difference
from anytime_dspy.statistics.summary import Summary

__all__ = [
    "TextTable",
    "change_grid",
    "comparison_grid",
    "cost_grid",
    "curve_grid",
    "curve_table",
    "difference_lines",
    "log_grid",
    "markdown_table",
    "rich_table",
    "summary_grid",
    "summary_table",
]

_SUMMARY: dict[str, Callable[[Summary], str]] = {
    "Anytime Index, best-so-far": lambda summary: _estimate(summary.index_best),
    "Anytime Index, committed": lambda summary: _estimate(summary.index_committed),
    "Final": lambda summary: f"{summary.final:.3f}",
    "Average": lambda summary: f"{summary.average:.3f}",
    "Answer rate": lambda summary: f"{summary.answer_rate:.0%}",
    "Cut answers": lambda summary: f"{summary.censored_rate:.0%}",
    "Prompt tokens": lambda summary: f"{summary.tokens.prompt:.0f}",
    "Reasoning tokens": lambda summary: f"{summary.tokens.reasoning:.0f}",
    "Answer tokens": lambda summary: f"{summary.tokens.answer:.0f}",
    "Hidden tokens": lambda summary: f"{summary.tokens.hidden:.0f}",
    "n": lambda summary: str(summary.n),
}

# Above this p-value no difference is called one.
_LEVEL = 0.05


@dataclass(frozen=True)
class TextTable:
    """A table of texts; the first column has labels, the others figures.

    Attributes:
        columns: The headings.
        rows: The rows, each as long as `columns`.
        caption: The text below the table.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str


def summary_grid(rows: Sequence[tuple[str, Summary]]) -> TextTable:
    """Returns the figures of programs, one column each; two programs fit 80 columns.

    Args:
        rows: A label and the summary of its run, for each program.

    Raises:
        BudgetError: The runs were measured at different budgets.
        AnytimeError: Their indices are on different axes.
    """
    figures = tuple((name, *(figure(summary) for _, summary in rows)) for name, figure in _SUMMARY.items())
    return TextTable(_columns("", rows), figures, _caption(rows))


def curve_grid(rows: Sequence[tuple[str, Summary]]) -> TextTable:
    """Returns the mean committed quality with its 95% interval, a row per budget and a column per program.

    Raises:
        BudgetError: The runs were measured at different budgets.
    """
    budgets = check_same_grid(summary.budgets for _, summary in rows)
    figures = tuple(
        (str(budget), *(_estimate(summary.points[place].committed) for _, summary in rows))
        for place, budget in enumerate(budgets)
    )
    return TextTable(_columns("Budget", rows), figures, "Mean committed quality with its 95% interval")


def log_grid(rows: Sequence[tuple[str, Summary]]) -> TextTable:
    """Returns both indices of programs that were summarised on a log axis."""
    names = list(_SUMMARY)[:2]
    figures = tuple((name, *(_SUMMARY[name](summary) for _, summary in rows)) for name in names)
    return TextTable(_columns("", rows), figures, "On a log axis every doubling of the budget weighs the same.")


def change_grid(rows: Sequence[tuple[str, Summary]], target: float) -> TextTable:
    """Returns how the answers of each program change with more reasoning.

    Args:
        rows: As for `summary_grid`.
        target: The quality whose cost in tokens is reported.
    """
    figures: dict[str, Callable[[Summary], str]] = {
        f"Tokens to quality {target:.3g}": lambda summary: str(summary.tokens_to_target(target) or "not reached"),
        "Answer settled at, mean": lambda summary: f"{summary.stability.settled_mean:.0f}",
        "Answer settled at, median": lambda summary: f"{summary.stability.settled_median:.0f}",
        "Went from right to wrong": lambda summary: f"{summary.stability.worsened:.0%}",
        "Ended below its best": lambda summary: f"{summary.stability.lost:.0%}",
    }
    return TextTable(
        _columns("", rows),
        tuple((name, *(figure(summary) for _, summary in rows)) for name, figure in figures.items()),
        "Tokens to quality: the smallest budget whose mean committed quality is as high. Settled: the budget from "
        "which the answer no longer changes. Right to wrong: items whose quality fell from one budget to the next.",
    )


def cost_grid(rows: Sequence[tuple[str, Summary]]) -> TextTable:
    """Returns the mean cost of an item at each budget, in four token columns and in dollars.

    Raises:
        BudgetError: The runs were measured at different budgets.
    """
    budgets = check_same_grid(summary.budgets for _, summary in rows)
    figures = tuple(
        (f"{label}, {budget}", *_cost(summary, place))
        for label, summary in rows
        for place, budget in enumerate(budgets)
    )
    return TextTable(
        ("Program, budget", "Prompt", "Reasoning", "Answer", "Hidden", "Dollars"),
        figures,
        "Mean tokens per item of a run under that budget alone. A sweep reuses one trace for all budgets.",
    )


def comparison_grid(compared: Sequence[Comparison]) -> TextTable:
    """Returns the gain of each run over the first, with its interval and p-values."""
    several = len({one.run for one in compared}) > 1
    figures = tuple(
        (
            f"{one.measure}: {one.run}" if several else one.measure,
            f"{one.difference.mean:+.3f} {_interval(one.difference.low, one.difference.high, '+.3f')}",
            _p_value(one.difference.p),
            *([_p_value(one.p_holm)] if several else []),
            str(one.difference.n),
            _verdict(one.difference, unsure="unclear", sure=one.p_holm <= _LEVEL),
        )
        for one in compared
    )
    reference = compared[0].reference if compared else ""
    run = "each run" if several or not compared else compared[0].run
    tests = sorted({one.test for one in compared}, reverse=True)
    return TextTable(
        ("", "Difference", "p", *(["p, Holm"] if several else []), "Pairs", "It is"),
        figures,
        f"How much higher {run} is than {reference} on the same items, with 95% intervals. p: two-sided, by "
        f"{' and '.join(tests)}{'; p, Holm: for being one of several runs' if several else ''}. Unclear: too few items "
        "to tell.",
    )


def summary_table(rows: Sequence[tuple[str, Summary]]) -> Table:
    """Returns `summary_grid` for a terminal."""
    return rich_table(summary_grid(rows))


def curve_table(rows: Sequence[tuple[str, Summary]]) -> Table:
    """Returns `curve_grid` for a terminal."""
    return rich_table(curve_grid(rows))


def markdown_table(rows: Sequence[tuple[str, Summary]]) -> str:
    """Returns the figures of `summary_grid` in Markdown, a row per program; raises the same errors."""
    grid = summary_grid(rows)
    first, *programs = zip(grid.columns, *grid.rows, strict=True)
    lines = [("Program", *first[1:]), ("---", *["---:"] * (len(first) - 1)), *programs]
    return "\n".join([*(_markdown_row(line) for line in lines), "", grid.caption])


def rich_table(grid: TextTable) -> Table:
    """Returns a table for a terminal; nothing in it is read as markup."""
    table = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        show_edge=False,
        caption=Text(grid.caption),
        caption_justify="left",
    )
    first, *others = grid.columns
    table.add_column(Text(first), no_wrap=True)
    for column in others:
        table.add_column(Text(column), justify="right", overflow="fold")
    for row in grid.rows:
        table.add_row(*map(Text, row))
    return table


def difference_lines(differences: Sequence[tuple[str, Difference]]) -> list[str]:
    """Returns in words how two runs differ, one line per figure.

    Args:
        differences: Labels and paired differences.

    >>> difference_lines([("Anytime Index (committed)", Difference(0.0642, 0.0121, 0.118, 60, 0.0182))])
    ['Anytime Index (committed): +0.064 [+0.012, +0.118] on 60 paired items, p = 0.018: higher']
    """
    return [
        f"{label}: {d.mean:+.3f} {_interval(d.low, d.high, '+.3f')} on {d.n} paired items, p {_p_value(d.p, '= ')}: "
        f"{_verdict(d, unsure='too few items to tell')}"
        for label, d in differences
    ]


def _columns(first: str, rows: Sequence[tuple[str, Summary]]) -> tuple[str, ...]:
    return (first, *(label for label, _ in rows))


def _cost(summary: Summary, place: int) -> tuple[str, ...]:
    tokens = summary.points[place].tokens
    columns = (tokens.prompt, tokens.reasoning, tokens.answer, tokens.hidden)
    return (*(f"{count:,.0f}" for count in columns), "–" if tokens.dollars is None else f"{tokens.dollars:.6f}")


def _verdict(difference: Difference, *, unsure: str, sure: bool = True) -> str:
    if sure and difference.low > 0:
        return "higher"
    if sure and difference.high < 0:
        return "lower"
    return "the same" if difference.low == difference.high == 0 else unsure


def _caption(rows: Sequence[tuple[str, Summary]]) -> str:
    budgets = check_same_grid(summary.budgets for _, summary in rows)
    axes = {summary.axis for _, summary in rows}
    if len(axes) > 1:
        raise AnytimeError(
            "indices on a linear and on a log axis cannot be compared: summarise both runs on the same axis"
        )
    grid = ", ".join(map(str, budgets))
    failures = [f"{summary.failed} of {label}" for label, summary in rows if summary.failed]
    return (
        f"Budgets {grid} on a {axes.pop()} axis. Tokens: mean per item at {budgets[-1]}. In brackets: 95% intervals. "
        "Best-so-far picks the best answer by its true score, committed takes the answer at hand."
        + (f" Items left out because they could not be run: {', '.join(failures)}." if failures else "")
        + "".join(_states(label, summary) for label, summary in rows)
    )


def _states(label: str, summary: Summary) -> str:
    """Returns how many answers were unreadable or cut off, which may lower the score whatever the reasoning."""
    unreadable, censored = summary.states["unreadable"], summary.states["censored"]
    if not unreadable and not censored:
        return ""
    told = [
        *([f"{unreadable} could not be read and count 0"] if unreadable else []),
        *([f"{censored} were cut off at answer_tokens, their own allowance"] if censored else []),
    ]
    return f" Of {label}'s {sum(summary.states.values())} answers {', '.join(told)}."


def _p_value(p: float, equals: str = "") -> str:
    return f"{equals}{p:.3f}" if p >= 0.0005 else "< 0.001"


def _estimate(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} {_interval(estimate.low, estimate.high, '.2f')}"


def _interval(low: float, high: float, form: str) -> str:
    return "[–, –]" if math.isnan(low) else f"[{low:{form}}, {high:{form}}]"


def _markdown_row(cells: Sequence[str]) -> str:
    escaped = (cell.replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"
