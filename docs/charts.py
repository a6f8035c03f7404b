"""Draws the curve and the race of the demo, from what it left in experiments/results/demo."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape

from anytime_dspy.report.race_chart import race_chart
from tests.test_import_graph import ROOT

RESULTS = ROOT / "experiments" / "results" / "demo"

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 30, 62

# A picture takes the colours of the page around it: browsers tell it the scheme of the element that shows it.
STYLE = """
svg { --text: #1b1f24; --quiet: #59636e; --line: #d8dee4 }
svg { --before: #6e7781; --after: #0072b2; --good: #009e73; --bad: #d55e00 }
@media (prefers-color-scheme: dark) {
svg { --text: #e6e9ec; --quiet: #9aa4ae; --line: #343b42 }
svg { --before: #9aa4ae; --after: #4fb3ea; --good: #2fc79a; --bad: #ff8a3d }
}
text { font: 13px system-ui, sans-serif; fill: var(--quiet) }
.said { fill: var(--text) }
.grid { stroke: var(--line) }
.before { --c: var(--before) } .after { --c: var(--after) }
.curve { fill: none; stroke: var(--c); stroke-width: 2.5; stroke-linejoin: round }
.best { fill: none; stroke: var(--c); stroke-width: 1.5; stroke-dasharray: 6 4 }
.band { fill: var(--c); opacity: .15 }
.dot { fill: var(--c) }
.name { fill: var(--c); font-weight: 600 }
.bar { stroke: var(--before); stroke-width: 8; opacity: .55 }
.finished .bar { stroke: var(--after) }
.winner .bar { stroke: var(--good); opacity: 1 }
.failed .bar { stroke: var(--bad) }
.winner text { fill: var(--text); font-weight: 600 }
""".strip()


def curve_svg() -> str:
    """Returns the demo's two curves: quality at each budget, with its interval."""
    programs = json.loads((RESULTS / "measured.json").read_text())["programs"]
    budgets = [point["budget"] for point in next(iter(programs.values()))["points"]]
    span = budgets[-1] - budgets[0]

    def across(budget: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (budget - budgets[0]) / span

    def up(quality: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * quality

    def points(values: Iterable[float], at: Sequence[float] = budgets) -> str:
        return " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in zip(at, values, strict=True))

    parts = [text(LEFT - 32, 16, "share of right answers")]
    for quarter in range(5):
        parts.append(line("grid", LEFT, up(quarter / 4), WIDTH - RIGHT, up(quarter / 4)))
        parts.append(text(LEFT - 8, up(quarter / 4) + 4, f"{quarter / 4:g}", anchor="end"))
    parts += [text(across(one), HEIGHT - BOTTOM + 18, str(one), anchor="middle") for one in budgets]
    parts.append(text(WIDTH / 2, HEIGHT - BOTTOM + 36, "reasoning tokens that it may spend", anchor="middle"))
    for place, (kind, (name, one)) in enumerate(zip(("before", "after"), programs.items(), strict=True)):
        committed = [point["committed"] for point in one["points"]]
        outline = [point["low"] for point in committed] + [point["high"] for point in reversed(committed)]
        best = points(point["best_so_far"]["value"] for point in one["points"])
        dots = (points([point["value"]], [x]).split(",") for x, point in zip(budgets, committed, strict=True))
        index = f"{name}: Anytime Index {one['index_committed']['value']:.3f}"
        parts += [
            f'<g class="{kind}">',
            f'<polygon class="band" points="{points(outline, budgets + budgets[::-1])}"/>',
            f'<polyline class="best" points="{best}"/>',
            f'<polyline class="curve" points="{points(point["value"] for point in committed)}"/>',
            *(f'<circle class="dot" cx="{x}" cy="{y}" r="4"/>' for x, y in dots),
            text(LEFT - 32 + place * 216, HEIGHT - 6, index, "name"),
            "</g>",
        ]
    return svg(WIDTH, HEIGHT, STYLE, parts, scale=1.5)


def race_svg() -> str:
    """Returns the demo's last race: how long each candidate ran, and what it is believed to gain."""
    rounds = json.loads((RESULTS / "report.json").read_text())["rounds"]
    race = race_chart(rounds[-1]["race"], len(rounds) - 1)
    # The page's chart leaves room for longer names.
    left, shift = 96.0, race.left - 96.0
    parts = []
    for at, examples in race.heats:
        parts.append(line("grid", at - shift, 4, at - shift, race.height - 36))
        parts.append(text(at - shift, race.height - 20, str(examples), anchor="middle"))
    parts.append(text(left, race.height - 2, "training examples that each candidate ran before it left"))
    for bar in race.bars:
        parts += [
            f'<g class="{bar.state}">',
            text(left - 8, bar.y + 4, bar.label, anchor="end"),
            line("bar", left, bar.y, bar.end - shift, bar.y),
            text(bar.end - shift + 8, bar.y + 4, bar.said, "said"),
            "</g>",
        ]
    return svg(race.width - shift + 10, race.height + 4, STYLE, parts)


def text(x: float, y: float, words: str, kind: str | None = None, *, anchor: str | None = None) -> str:
    """Returns a line of text."""
    styled = f' class="{kind}"' if kind else ""
    placed = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text{styled} x="{x:g}" y="{y:g}"{placed}>{escape(words)}</text>'


def line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """Returns a straight line."""
    return f'<line class="{kind}" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>'


def svg(width: float, height: float, style: str, parts: Iterable[str], *, scale: float = 1.0) -> str:
    """Returns a whole picture.

    Args:
        width: Of the drawing, in its own units.
        height: The same.
        style: Its CSS.
        parts: What is drawn.
        scale: How much larger than its own units it is shown where there is room.
    """
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width * scale:g}" height="{height * scale:g}">'
    )
    return "\n".join([head, f"<style>{style}</style>", *parts, "</svg>", ""])
