"""The geometry of a race's chart, with a bar per candidate; drawn by the template."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Bar", "RaceChart", "race_chart"]

WIDTH, ROW = 720.0, 24.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 170.0, 190.0, 8.0, 40.0


@dataclass(frozen=True)
class Bar:
    """One candidate.

    Attributes:
        label: The kind of candidate.
        state: "finished", "left" or "failed"; "winner" if its program was returned.
        y: The middle of its row.
        end: The end of its bar.
        said: Its gain, or why it has none.
    """

    label: str
    state: str
    y: float
    end: float
    said: str


@dataclass(frozen=True)
class RaceChart:
    """A race.

    Attributes:
        title: The chart's title.
        bars: One per candidate, the longest-running first.
        heats: The end of each heat: its place, and the number of examples.
        width: The width of the picture, in the units of its viewBox.
        height: Its height, in the same units.
        left: Where the axis begins.
    """

    title: str
    bars: tuple[Bar, ...]
    heats: tuple[tuple[float, int], ...]
    width: float
    height: float
    left: float = _LEFT


def race_chart(race: Mapping[str, Any], number: int) -> RaceChart:
    """Places a race on a chart.

    Args:
        race: As a compile's report.json holds it.
        number: Of its round, from 0.
    """
    standings = race["standings"]
    ends = [0, *race["heats"]]
    scale = (WIDTH - _LEFT - _RIGHT) / max(1, ends[-1])
    order = sorted(standings, key=lambda one: (-one["heats"], -one["gain"]["mean"] if one["number"] else -1.0))
    bars = tuple(
        Bar(
            label=one["kind"],
            state="winner" if one["number"] == race["winner"] else one["state"],
            y=_TOP + ROW * (row + 0.5),
            end=_LEFT + scale * ends[min(one["heats"], len(ends) - 1)],
            said=_said(one),
        )
        for row, one in enumerate(order)
    )
    heats = tuple((round(_LEFT + scale * end, 1), end) for end in ends[1:])
    return RaceChart(f"Race of round {number + 1}", bars, heats, WIDTH, _TOP + ROW * len(bars) + _BOTTOM)


def _said(standing: Mapping[str, Any]) -> str:
    scores = list(standing["scores"].values())
    if standing["state"] == "failed":
        return "failed"
    if not standing["number"]:
        return f"{sum(scores) / max(1, len(scores)):.2f}"
    gain = standing["gain"]
    low, high = (gain["mean"] + sign * 1.96 * gain["sd"] for sign in (-1, 1))
    return f"{gain['mean']:+.2f} [{low:+.2f}, {high:+.2f}]"
