"""The picture of a report: quality over reasoning budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anytime_dspy.budgets import check_same_grid
from anytime_dspy.curve import anytime_index
from anytime_dspy.errors import AnytimeError, RunError
from anytime_dspy.statistics.summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLOURS", "MARKERS", "Series", "plot_curves"]

# Okabe and Ito's palette for colour-blind readers, without yellow, which is too pale for a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "os^Dv*P"

# Tick labels closer than this share of the axis overlap.
_LABEL_GAP = 0.07

# Characters of the longest label with which a legend of two columns fits.
_LABEL_FOR_TWO_COLUMNS = 28


@dataclass(frozen=True)
class Series:
    """One program's curves, T values each.

    Attributes:
        label: Its name in the legend.
        budgets: Reasoning tokens.
        committed: Mean quality of the answer at each budget.
        low: Lower ends of the 95% intervals of `committed`; NaN where unknown.
        high: Upper ends.
        best_so_far: Mean over items of the best quality up to each budget.
    """

    label: str
    budgets: tuple[int, ...]
    committed: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    best_so_far: tuple[float, ...]

    @classmethod
    def of(cls, label: str, summary: Summary) -> Series:
        """Returns the curves of a run's summary."""
        committed = [point.committed for point in summary.points]
        return cls(
            label=label,
            budgets=summary.budgets,
            committed=tuple(estimate.value for estimate in committed),
            low=tuple(estimate.low for estimate in committed),
            high=tuple(estimate.high for estimate in committed),
            best_so_far=tuple(point.best_so_far.value for point in summary.points),
        )


def plot_curves(
    series: Sequence[Series], path: str | Path, *, title: str | None = None, quality_label: str = "quality"
) -> Path:
    """Draws anytime curves over a linear axis of reasoning tokens; the area under a line is its index.

    Solid is committed with its 95% band, dashed in the same colour is best-so-far. The legend gives both indices on the
    linear axis.

    Args:
        series: The programs.
        path: The file; its suffix is `.png` or `.svg`.
        title: The picture's title.
        quality_label: The label of the vertical axis, whose scale is [0, 1].

    Returns:
        The file.

    Raises:
        AnytimeError: matplotlib is not installed, or the suffix is another.
        BudgetError: The programs were measured at different budgets, or there is none.
        RunError: The file cannot be written.
    """
    target = Path(path)
    if target.suffix not in (".png", ".svg"):
        raise AnytimeError(f"plots are written as .png or .svg, not as {target.name!r}")
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise AnytimeError("plots need matplotlib: pip install 'anytime-dspy[plot]'") from error
    # The same curves give the same bytes, so that a picture in a repository changes only when its data do.
    with rc_context({"svg.hashsalt": "anytime-dspy"}):
        figure = Figure(figsize=(8.0, 4.5), layout="constrained")
        _draw(figure, series, title, quality_label)
        try:
            figure.savefig(target, dpi=150, metadata={"Date": None} if target.suffix == ".svg" else None)
        except OSError as error:
            raise RunError(f"cannot write the plot {target}: {error.strerror or error}") from error
    return target


def _draw(figure: Figure, series: Sequence[Series], title: str | None, quality_label: str) -> None:
    budgets = check_same_grid(one.budgets for one in series)
    axes = figure.add_subplot()
    for number, one in enumerate(series):
        _draw_series(axes, one, COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)])
    axes.plot([], [], color="0.4", linewidth=2, label="solid: committed, with its 95% interval")
    axes.plot([], [], color="0.4", linestyle="--", linewidth=1.3, label="dashed: best so far, picked by the true score")
    axes.set_ylim(0.0, 1.0)
    axes.set_xlabel("reasoning budget (tokens)")
    axes.set_ylabel(quality_label)
    if title:
        axes.set_title(title, loc="left", fontweight="bold")
    _set_ticks(axes, budgets)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    columns = 2 if max(len(one.label) for one in series) <= _LABEL_FOR_TWO_COLUMNS else 1
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize="small")


def _draw_series(axes: Axes, series: Series, colour: str, marker: str) -> None:
    committed, best = (
        anytime_index(curve, series.budgets, best_so_far=False) for curve in (series.committed, series.best_so_far)
    )
    axes.fill_between(series.budgets, series.low, series.high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(series.budgets, series.best_so_far, color=colour, linestyle="--", linewidth=1.3)
    axes.plot(
        series.budgets,
        series.committed,
        color=colour,
        marker=marker,
        markersize=5,
        linewidth=2,
        label=f"{series.label}: index {committed:.3f} (best so far {best:.3f})",
    )


def _set_ticks(axes: Axes, budgets: Sequence[int]) -> None:
    """Sets a tick at every budget and a label where there is room; the largest budget always has one."""
    room = (budgets[-1] - budgets[0]) * _LABEL_GAP
    labelled = [budgets[-1]]
    for budget in reversed(budgets[:-1]):
        if labelled[-1] - budget >= room:
            labelled.append(budget)
    axes.set_xticks(labelled, [f"{budget:,}" for budget in labelled])
    axes.set_xticks(budgets, minor=True)
