"""The geometry of the page's charts, in the units of their viewBox; drawn by the template."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from anytime_dspy.curve import Axis
from anytime_dspy.report.plots import Series

__all__ = ["HEIGHT", "WIDTH", "Chart", "ChartLine", "Tick", "chart"]

WIDTH, HEIGHT = 520.0, 320.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 16.0, 12.0, 44.0

# Tick labels closer than this overlap on a phone.
_LABEL_ROOM = 72.0


@dataclass(frozen=True)
class Tick:
    """A mark on an axis.

    Attributes:
        at: Its place along the axis.
        label: Empty if there is no room.
    """

    at: float
    label: str


@dataclass(frozen=True)
class ChartLine:
    """One program's curves, as the `points` and `d` attributes of SVG.

    Attributes:
        colour: The number of its colour.
        label: Its program.
        committed: Mean committed quality.
        best_so_far: Mean best-so-far quality.
        band: The outline of the interval of `committed`; empty if it is unknown.
        dots: The points of `committed`.
    """

    colour: int
    label: str
    committed: str
    best_so_far: str
    band: str
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Chart:
    """Curves over an axis of budgets."""

    axis: Axis
    lines: tuple[ChartLine, ...]
    budgets: tuple[Tick, ...]
    qualities: tuple[Tick, ...]


def chart(series: Sequence[Series], axis: Axis) -> Chart:
    """Places curves on a chart.

    Args:
        series: The programs, on one grid of budgets.
        axis: Of the budgets.
    """
    budgets = series[0].budgets
    across = _across(budgets, axis)
    return Chart(
        axis=axis,
        lines=tuple(_line(number, one, across) for number, one in enumerate(series)),
        budgets=_budget_ticks(budgets, across),
        qualities=tuple(Tick(_up(share / 4), f"{share / 4:g}") for share in range(5)),
    )


def _across(budgets: Sequence[int], axis: Axis) -> Callable[[int], float]:
    scale: Callable[[float], float] = math.log if axis == "log" else float
    first, last = scale(budgets[0]), scale(budgets[-1])
    width = WIDTH - _LEFT - _RIGHT
    return lambda budget: _LEFT + width * ((scale(budget) - first) / (last - first) if last > first else 0.5)


def _up(quality: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * quality


def _line(number: int, series: Series, across: Callable[[int], float]) -> ChartLine:
    places = [across(budget) for budget in series.budgets]
    known = not any(map(math.isnan, (*series.low, *series.high)))
    outline = [*zip(places, series.low, strict=True), *reversed([*zip(places, series.high, strict=True)])]
    return ChartLine(
        colour=number,
        label=series.label,
        committed=_points(zip(places, series.committed, strict=True)),
        best_so_far=_points(zip(places, series.best_so_far, strict=True)),
        band=_points(outline) if known else "",
        dots=tuple((round(x, 1), round(_up(y), 1)) for x, y in zip(places, series.committed, strict=True)),
    )


def _points(curve: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{_up(y):.1f}" for x, y in curve)


def _budget_ticks(budgets: Sequence[int], across: Callable[[int], float]) -> tuple[Tick, ...]:
    """Returns a tick per budget, with a label where there is room; the largest budget always has one."""
    ticks: list[Tick] = []
    room = math.inf
    for budget in reversed(budgets):
        place = across(budget)
        labelled = room - place >= _LABEL_ROOM
        room = place if labelled else room
        ticks.append(Tick(place, f"{budget:,}" if labelled else ""))
    return tuple(ticks)
