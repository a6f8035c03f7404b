"""Draws the pictures of these pages: `python -m docs.drawings` in the root of a clone writes them anew.

The house is drawn from the imports of the code, the two walks from the texts in docs/walks, the curve and the race from
the demo's results.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from docs.charts import curve_svg, race_svg, svg, text
from tests.test_import_graph import ROOT, arrows

DOCS = ROOT / "docs"
WALKS = ("sweep", "compile")

STYLE = """
svg { --text: #1b1f24; --quiet: #57606a; --line: #8c959f; --file: #f6f8fa; --folder: #ddf4ff; --edge: #0969da }
@media (prefers-color-scheme: dark) {
svg { --text: #e6e9ec; --quiet: #9aa4ae; --line: #6e7781; --file: #1e2226; --folder: #12293d; --edge: #4fb3ea }
}
text { font: 12px sans-serif; fill: var(--text) }
.file { font: bold 12px monospace }
.name { font: 12px monospace; fill: var(--quiet) }
rect { fill: var(--file); stroke: var(--quiet) }
rect.folder { fill: var(--folder); stroke: var(--edge) }
path { fill: none; stroke: var(--line); marker-end: url(#tip) }
marker path { fill: var(--line); stroke: none; marker-end: none }
""".strip()
TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0 8 4 0 8z"/></marker></defs>'
)


@dataclass(frozen=True)
class Hop:
    """One step of a walk.

    Attributes:
        file: Where it happens, from the root of the clone.
        function: What is called there.
        says: What it does.
    """

    file: str
    function: str
    says: str


def read_walk(name: str) -> list[Hop]:
    """Returns the hops of docs/walks/NAME.txt; a line is `file | function | what it does`."""
    lines = (DOCS / "walks" / f"{name}.txt").read_text().splitlines()
    return [Hop(*(part.strip() for part in line.split("|"))) for line in lines if line and not line.startswith("#")]


def walk_svg(hops: list[Hop]) -> str:
    """Returns a walk as a column of boxes."""
    width, height, gap = 760, 44, 16
    parts = []
    for place, hop in enumerate(hops):
        y = place * (height + gap) + 8
        parts += [
            f'<rect x="8" y="{y}" width="{width}" height="{height}" rx="5"/>',
            text(20, y + 18, f"{place + 1}. {hop.file}", "file"),
            text(width - 2, y + 18, hop.function, "name", anchor="end"),
            text(20, y + 36, hop.says),
        ]
        if place:
            parts.append(f'<path d="M{width // 2} {y - gap} V{y}"/>')
    return svg(width + 16, len(hops) * (height + gap), STYLE, [TIP, *parts])


def house_svg(graph: Mapping[str, set[str]]) -> str:
    """Returns the rooms in rows, each above all that it imports; arrows that follow from others are left out."""
    box, high, gap, beam, most = 176, 26, 10, 46, 4
    width = most * (box + gap) + gap
    at = {}
    y = 8
    for row in _rows(graph):
        for begin in range(0, len(row), most):  # a row that is too wide for a page takes several lines
            line = row[begin : begin + most]
            left = (width - len(line) * (box + gap) + gap) // 2
            at.update({room: (left + place * (box + gap), y) for place, room in enumerate(line)})
            y += high + gap
        y += beam - gap
    parts = []
    for room, (x, top) in at.items():
        for other in sorted(_direct(graph, room)):
            begin, end = x + box // 2, at[other][0] + box // 2
            bottom = at[other][1]
            parts.append(
                f'<path d="M{begin} {top + high} C{begin} {top + high + 30} {end} {bottom - 30} {end} {bottom}"/>'
            )
    for room, (x, top) in at.items():
        kind = ' class="folder"' if _is_folder(room) else ""
        parts.append(f'<rect{kind} x="{x}" y="{top}" width="{box}" height="{high}" rx="5"/>')
        parts.append(text(x + box // 2, top + 17, room, anchor="middle"))
    return svg(width, y - beam + 8, STYLE, [TIP, *parts])


def _is_folder(room: str) -> bool:
    path = Path(*room.split("."))
    return any((ROOT / top / path).is_dir() for top in (".", "anytime_dspy"))


def _rows(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The rooms by the length of the longest way to one that imports nothing, longest first."""

    @cache
    def height(room: str) -> int:
        return 1 + max((height(other) for other in graph.get(room, ())), default=-1)

    rooms = sorted({*graph, *(other for others in graph.values() for other in others)})
    rows = [[room for room in rooms if height(room) == level] for level in range(max(map(height, rooms)), -1, -1)]
    for above, row in pairwise(rows):  # below what imports it, so that few arrows cross
        place = {room: index / len(above) for index, room in enumerate(above)}
        row.sort(key=lambda room: (_mean(place[one] for one in above if room in graph.get(one, ())), room))
    return rows


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known) if known else 0.5


def _direct(graph: Mapping[str, set[str]], room: str) -> set[str]:
    """What a room imports and would not reach by way of another room that it imports."""

    def below(one: str) -> set[str]:
        return {other for first in graph.get(one, ()) for other in ({first} | below(first))}

    return graph[room] - {other for first in graph[room] for other in below(first)} if room in graph else set()


def drawings() -> dict[Path, str]:
    """Returns each picture and where it stands."""
    walks = {DOCS / "walks" / f"{name}.svg": walk_svg(read_walk(name)) for name in WALKS}
    graph = {room: others for room, others in arrows().items() if room != "__main__"}
    charts = {DOCS / "curve.svg": curve_svg(), DOCS / "race.svg": race_svg()}
    return {DOCS / "house.svg": house_svg(graph), **charts, **walks}


if __name__ == "__main__":
    for path, picture in drawings().items():
        path.write_text(picture)
