"""Showing runs that are on disk: what `report` and `compare` do alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anytime_dspy.errors import RunError

if TYPE_CHECKING:
    from anytime_dspy.report.overview import Overview

__all__ = ["Outputs", "Target", "present"]

SUFFIXES = (".html", ".png", ".svg", ".csv", ".parquet")

Outputs = Annotated[
    list[Path] | None,
    typer.Option("--out", help="Where to; the suffix says what: .html, .png, .svg, .csv or .parquet. May be repeated."),
]
Target = Annotated[
    float | None,
    typer.Option(
        "--target", help="Report the tokens needed to reach this quality; by default the first run's final quality."
    ),
]


def present(
    folders: Sequence[Path],
    outputs: Sequence[Path],
    *,
    target: float | None,
    seed: int,
    as_json: bool,
    at_least: int = 1,
) -> None:
    """Reads runs, writes the files that were asked for, and prints the tables, or the figures as JSON.

    Args:
        folders: Of runs.
        outputs: Files to write; their suffixes say what.
        target: As for `overview`.
        seed: Of intervals and tests.
        as_json: Whether to print JSON instead of tables.
        at_least: Runs that have to be there.

    Raises:
        RunError: A folder holds no run or a damaged one, the runs cannot be compared, or a file cannot be written.
    """
    for path in outputs:
        if path.suffix not in SUFFIXES:
            raise RunError(f"cannot tell what {path} is to be: end its name in {', '.join(SUFFIXES)}")
    from rich.console import Console

    from anytime_dspy.report.overview import overview
    from anytime_dspy.report.tables import rich_table
    from anytime_dspy.storage.jsonl import json_line
    from anytime_dspy.storage.runs import read_runs

    runs = read_runs(folders)
    if len(runs) < at_least:
        raise RunError(f"{folders[0]} is one run alone: name another to compare it with, or use report")
    found = overview(runs, target=target, seed=seed)
    for path in outputs:
        _write(path, found, folders)
    if as_json:
        print(json_line({**found.as_json(), "files": outputs}), end="")  # noqa: T201 - the result, alone
        return
    console = Console()
    for heading, grid in found.grids().items():
        console.print(f"\n[bold]{heading}[/bold]\n")
        console.print(rich_table(grid))
    for path in outputs:
        console.print(f"Written: {path}", highlight=False, markup=False, soft_wrap=True)


def _write(path: Path, found: Overview, folders: Sequence[Path]) -> None:
    if path.suffix == ".html":
        from anytime_dspy.cli.compile_folder import PROGRAM, read_compiled
        from anytime_dspy.report.page import write_page

        write_page(path, found, [read_compiled(folder) for folder in folders if (folder / PROGRAM).exists()])
    elif path.suffix in (".png", ".svg"):
        from anytime_dspy.report.plots import Series, plot_curves

        plot_curves([Series.of(*row) for row in found.rows], path)
    else:
        from anytime_dspy.report.flat_table import write_rows

        write_rows(path, found.runs)
