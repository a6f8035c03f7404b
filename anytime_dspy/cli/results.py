"""Comparing programs that were measured on a task: what `sweep`, `compile` and `demo` show alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from anytime_dspy.cli.options import progress
from anytime_dspy.errors import AnytimeError
from anytime_dspy.programs.measurement import MeasuredProgram
from anytime_dspy.report.plots import Series, plot_curves
from anytime_dspy.report.tables import curve_table, difference_lines, markdown_table, summary_table
from anytime_dspy.statistics.paired import Difference
from anytime_dspy.statistics.summary import index_difference
from anytime_dspy.storage.jsonl import json_line, write_json, write_text

if TYPE_CHECKING:
    from anytime_dspy.optimizers import CompileReport

__all__ = ["compare", "show", "sweeping_bar"]


def sweeping_bar(label: str, left: int) -> AbstractContextManager[Callable[..., None]]:
    """Shows a sweep's progress on stderr."""
    return progress(f"Sweeping {label}", left)


def compare(before: MeasuredProgram, after: MeasuredProgram, seed: int) -> list[tuple[str, Difference]]:
    """Returns how much the second program gains over the first, in both readings of the index, paired by example."""
    readings = (("Anytime Index (best-so-far)", True), ("Anytime Index (committed)", False))
    return [
        (
            f"{after.label} against {before.label}, {name}",
            index_difference(before.results, after.results, best_so_far=best, seed=seed),
        )
        for name, best in readings
    ]


def show(
    measured: Sequence[MeasuredProgram],
    differences: Sequence[tuple[str, Difference]],
    folder: Path,
    *,
    title: str,
    as_json: bool,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Writes curve.png, measured.json and table.md into the folder, and prints the tables, or the report as JSON."""
    rows = [(one.label, one.summary) for one in measured]
    report = {
        "title": title,
        "programs": {
            label: {**asdict(summary), "final": summary.final, "average": summary.average} for label, summary in rows
        },
        "stopping": {one.label: asdict(one.stopping) for one in measured if one.stopping},
        "differences": {label: asdict(difference) for label, difference in differences},
        **(more or {}),
    }
    write_json(folder / "measured.json", report)
    lines = [*difference_lines(differences), *(f"{one.label}: {one.stopping}" for one in measured if one.stopping)]
    write_text(
        folder / "table.md",
        "\n".join([f"## {title}", "", markdown_table(rows), "", *(f"- {line}" for line in lines), ""]),
    )
    try:
        picture = f"Curve: {plot_curves([Series.of(*row) for row in rows], folder / 'curve.png', title=title)}"
    except AnytimeError as error:  # a missing picture is no reason to end a paid run in an error
        picture = f"No curve was drawn: {error}"
    if as_json:
        print(json_line(report), end="")  # noqa: T201 - the machine-readable result, alone on stdout
        return
    # No markup: what stands in brackets, as in anytime-dspy[plot] or in a folder's name, is to be seen.
    console = Console(markup=False, highlight=False)
    console.print(f"\n{title}\n", style="bold")
    console.print(summary_table(rows))
    console.print(curve_table(rows))
    for line in lines:
        console.print(line)
    for line in _compile_lines((more or {}).get("compile")):
        console.print(line)
    console.print(f"\n{picture}", soft_wrap=True)
    console.print(f"All results: {folder}", soft_wrap=True)
    console.print(f"Example by example: anytime-dspy report {folder}", soft_wrap=True)


def _compile_lines(report: CompileReport | None) -> Iterator[str]:
    """What a compile's report says in a line or two."""
    if report is None:
        return
    yield f"Judge: {report.reason}."
    if gold := report.gold:
        decided = gold.agree + gold.disagree
        yield f"Where true quality differs, its pairs agree with it {gold.agree} times of {decided}."
    if searched := report.search:
        yield f"Race of {searched.candidates}: {searched.verdict}"
