"""The table: what was measured, beside what was published, and whether the signs are the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from anytime_dspy.report.tables import difference_lines
from anytime_dspy.statistics.paired import Difference, holm
from anytime_dspy.statistics.summary import index_difference
from experiments.paper.cells import Cell
from experiments.paper.grid import Grid, Method, Model

__all__ = ["Cells", "Sign", "as_json", "as_markdown", "signs"]

# Of what has been measured: by model, data set and method.
Cells = Mapping[tuple[str, str, Method], Cell]

OVERALL = "overall"
# In Anytime Index, over all models and data sets, the paper found PDP > PDP(+) > Base, and PDP > LEAP for most models.
CLAIMS: tuple[tuple[Method, Method], ...] = (("PDP", "PDP(+)"), ("PDP(+)", "Base"), ("PDP", "Base"), ("PDP", "LEAP"))
WARNING = (
    "Rows marked † come from a simulated engine: they show that the command works and say nothing about any language "
    "model."
)


@dataclass(frozen=True)
class Sign:
    """One comparison in one cell.

    Attributes:
        model: The row.
        data: The column.
        better: The method that the paper found better.
        worse: The other.
        best_so_far: The gain in best-so-far Anytime Index, the paper's.
        committed: The gain in committed Anytime Index.
        adjusted_p: Of the gain in the paper's index, adjusted for all comparisons of the grid (Holm).
    """

    model: str
    data: str
    better: Method
    worse: Method
    best_so_far: Difference
    committed: Difference
    adjusted_p: float = 1.0

    @property
    def claim(self) -> tuple[Method, Method]:
        """The better method, then the worse."""
        return (self.better, self.worse)

    @property
    def holds(self) -> bool:
        """Whether the gain has the paper's sign."""
        return self.best_so_far.mean > 0

    @property
    def clear(self) -> bool:
        """Whether the gain, of whichever sign, is more than chance explains."""
        return self.adjusted_p < 0.05


def signs(grid: Grid, cells: Cells) -> list[Sign]:
    """Compares the methods wherever both were measured, paired by example."""
    found = [
        _sign(grid, model.name, data.name, claim, cells)
        for model in grid.models
        for data in grid.data
        for claim in CLAIMS
        if all((model.name, data.name, method) in cells for method in claim)
    ]
    adjusted = holm([sign.best_so_far.p for sign in found]) if found else ()
    return [replace(sign, adjusted_p=p) for sign, p in zip(found, adjusted, strict=True)]


def _sign(grid: Grid, model: str, data: str, claim: tuple[Method, Method], cells: Cells) -> Sign:
    better, worse = (cells[model, data, method].results for method in claim)
    best, committed = (index_difference(worse, better, best_so_far=oracle, seed=grid.seed) for oracle in (True, False))
    return Sign(model, data, *claim, best, committed)


def as_markdown(grid: Grid, cells: Cells, found: Sequence[Sign], failures: Sequence[str]) -> str:
    """Returns the report: the table, the gate, and what is missing."""
    head = (
        "Model",
        "Method",
        "Data",
        "n",
        "Final",
        "Average",
        "Index, best-so-far",
        "Index, committed",
        "Prompt tokens",
        "Compile tokens",
    )
    published = any(grid.published.values())
    columns = (*head, "Final, published", "Index, published") if published else head
    lines = [f"# {grid.title}", ""]
    if any(model.simulated for model in grid.models):
        lines += [WARNING, ""]
    lines += [_row(columns), _row("---" if place < 3 else "---:" for place in range(len(columns)))]
    for model in grid.models:
        for method in grid.methods:
            for data in grid.data:
                cell = cells.get((model.name, data.name, method))
                own = [*_name(model, method, data.name), *_figures(cell)]
                lines.append(_row([*own, *_published(grid, model, method, data.name)] if published else own))
            if len(grid.data) > 1:
                own = [*_name(model, method, OVERALL), *_overall(grid, cells, model, method)]
                lines.append(_row([*own, *_published(grid, model, method, OVERALL)] if published else own))
    lines += ["", *_caption(grid), "", "## Gains over Base, paired by item", "", *_gains(grid, cells)]
    lines += ["", "## The paper's signs", "", *_gate(grid, found)]
    if failures:
        lines += ["", "## Missing", "", *(f"- {failure}" for failure in failures)]
    return "\n".join(lines) + "\n"


def as_json(grid: Grid, cells: Cells, found: Sequence[Sign], failures: Sequence[str]) -> dict[str, Any]:
    """Returns the same for machines."""
    simulated = {model.name for model in grid.models if model.simulated}
    return {
        "title": grid.title,
        "cells": [
            {
                "model": model,
                "data": data,
                "method": method,
                "simulated": model in simulated,
                **asdict(cell.summary),
                "final": cell.summary.final,
                "average": cell.summary.average,
                "compile tokens": cell.compiling,
            }
            for (model, data, method), cell in cells.items()
        ],
        "signs": [{**asdict(sign), "holds": sign.holds, "clear": sign.clear} for sign in found],
        "published": grid.published,
        "missing": list(failures),
    }


def _name(model: Model, method: Method, data: str) -> tuple[str, str, str]:
    return (f"{model.name} †" if model.simulated else model.name, method, data)


def _overall(grid: Grid, cells: Cells, model: Model, method: Method) -> list[str]:
    """The mean over the data sets, each counting the same; nothing where one is missing."""
    found = [cells[place].summary for data in grid.data if (place := (model.name, data.name, method)) in cells]
    if len(found) < len(grid.data):
        return ["–"] * 7
    figures = [(s.final, s.average, s.index_best.value, s.index_committed.value) for s in found]
    means = [f"{100 * sum(column) / len(found):.1f}" for column in zip(*figures, strict=True)]
    return [str(sum(summary.n for summary in found)), *means, "", ""]


def _figures(cell: Cell | None) -> list[str]:
    if cell is None:
        return ["–"] * 7
    summary = cell.summary
    indices = [
        f"{100 * e.value:.1f} [{100 * e.low:.1f}, {100 * e.high:.1f}]"
        for e in (summary.index_best, summary.index_committed)
    ]
    return [
        str(summary.n),
        f"{100 * summary.final:.1f}",
        f"{100 * summary.average:.1f}",
        *indices,
        f"{summary.tokens.prompt:.0f}",
        f"{cell.compiling:,}" if cell.compiling else "",
    ]


def _published(grid: Grid, model: Model, method: Method, data: str) -> list[str]:
    tables = [grid.published.get(column, {}).get(model.name, {}).get(method, {}) for column in ("final", "index")]
    return [f"{table[data]:.1f}" if data in table else "" for table in tables]


def _caption(grid: Grid) -> list[str]:
    grids = "; ".join(f"{data.name}: budgets {', '.join(map(str, data.budgets))}" for data in grid.data)
    return [
        f"In percent, with 95% intervals over items; {grids}. Best-so-far picks the best answer by its true score, as "
        "in the paper; committed takes the answer at hand. Prompt tokens: mean per item at the largest budget; "
        "compile tokens: sent and generated, once."
    ]


def _gains(grid: Grid, cells: Cells) -> list[str]:
    found = []
    for (model, data, method), cell in cells.items():
        base = cells.get((model, data, "Base"))
        if base is None or method == "Base":
            continue
        for reading, oracle in (("best-so-far", True), ("committed", False)):
            gain = index_difference(base.results, cell.results, best_so_far=oracle, seed=grid.seed)
            found.append((f"{model}, {data}, {method}, {reading}", gain))
    return [f"- {line}" for line in difference_lines(found)] or ["Nothing to compare yet."]


def _gate(grid: Grid, found: Sequence[Sign]) -> list[str]:
    if not found:
        return ["Nothing to compare yet."]
    return [
        "In best-so-far Anytime Index, paired by item (clear of chance: p < 0.05 by sign flips, after Holm over all of "
        "these comparisons):",
        "",
        *(_of_claim(claim, [sign for sign in found if sign.claim == claim]) for claim in CLAIMS),
        _of_models(grid, found),
        _of_order(grid, found),
    ]


def _of_claim(claim: tuple[Method, Method], of: Sequence[Sign]) -> str:
    clear = [sign.holds for sign in of if sign.clear]
    return (
        f"- {' > '.join(claim)}: the sign holds in {sum(sign.holds for sign in of)} of {len(of)} cells; "
        f"{sum(clear)} gains and {len(clear) - sum(clear)} losses are clear of chance"
    )


def _of_models(grid: Grid, found: Sequence[Sign]) -> str:
    gains = [
        [sign.best_so_far.mean for sign in found if sign.model == model.name and sign.claim == ("PDP", "LEAP")]
        for model in grid.models
    ]
    beaten = [sum(of) > 0 for of in gains if of]
    return f"- PDP > LEAP, averaged over data sets: for {sum(beaten)} of {len(beaten)} models; in the paper 6 of 7"


def _of_order(grid: Grid, found: Sequence[Sign]) -> str:
    steps = (("PDP", "PDP(+)"), ("PDP(+)", "Base"))
    cells = [
        [sign.holds for sign in found if (sign.model, sign.data) == (model.name, data.name) and sign.claim in steps]
        for model in grid.models
        for data in grid.data
    ]
    whole = [all(held) for held in cells if len(held) == len(steps)]
    return f"- PDP > PDP(+) > Base: in {sum(whole)} of {len(whole)} cells; in the paper over its 21 taken together"


def _row(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"
