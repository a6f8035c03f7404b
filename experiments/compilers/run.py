"""Compilers at equal LM tokens: `python -m experiments.compilers.run`.

Each cell (a compiler on a bench, with one seed) leaves one small JSON file. The same command goes on where it was
stopped: finished cells are not run again, and one that was begun pays for no finished call twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import dspy
import typer
from rich.console import Console

from anytime_dspy.storage.jsonl import write_text
from experiments.command import run
from experiments.compilers.cells import CellRunner
from experiments.compilers.picture import draw
from experiments.compilers.plan import Cell, Plan, read_plan
from experiments.compilers.result import Result, read_result, write_result
from experiments.compilers.table import as_markdown
from experiments.paper.cells import open_model

HERE = Path(__file__).parent


def compare_compilers(
    plan_file: Annotated[Path, typer.Argument(metavar="PLAN", help="What is compared.")] = HERE / "plan.toml",
    results: Annotated[
        Path, typer.Option("--results", help="The folder of the cells' files, table.md and the pictures.")
    ] = HERE.parent / "results" / "compilers",
    work: Annotated[
        Path, typer.Option("--work", help="The folder of caches, programs and sweeps, which are not for keeping.")
    ] = Path("runs/compilers"),
    retry: Annotated[bool, typer.Option("--retry", help="Run failed cells again.")] = False,
    at_most: Annotated[int | None, typer.Option("--cells", min=0, help="Run at most so many cells.")] = None,
) -> None:
    """Runs what is missing of a plan; writes table.md after every cell, and a picture of each bench at the end."""
    plan = read_plan(plan_file)
    found = known(plan, results)
    waiting = [cell for cell in plan.cells() if cell not in found or (retry and found[cell].error)]
    lms: dict[str, dspy.LM] = {}
    stderr = Console(stderr=True)
    report(plan, found, results)
    for cell in waiting[:at_most]:
        stderr.print(f"{cell} ...", highlight=False)
        if cell.bench.name not in lms:
            lm = open_model(cell.bench.model, plan.threads)
            lms[cell.bench.name] = lm.copy(max_tokens=plan.settings.reply_tokens)
        found[cell] = CellRunner.of(plan, cell, lms[cell.bench.name], work).run(cell.compiler)
        write_result(results, cell, found[cell])
        report(plan, found, results)
        stderr.print(f"{cell}: {found[cell].error or 'done'}", highlight=False, markup=False)
    for bench in plan.benches:
        draw(bench, found, results / f"{bench.name}.png")
    if any(result.error for result in found.values()):
        raise typer.Exit(1)


def known(plan: Plan, results: Path) -> dict[Cell, Result]:
    """Returns what has been measured.

    Raises:
        RunError: A file is damaged, or of another plan.
    """
    read = {cell: read_result(results, cell, plan.fingerprint(cell)) for cell in plan.cells()}
    return {cell: result for cell, result in read.items() if result is not None}


def report(plan: Plan, found: dict[Cell, Result], results: Path) -> None:
    """Writes the tables."""
    results.mkdir(parents=True, exist_ok=True)
    write_text(results / "table.md", as_markdown(plan, found))


if __name__ == "__main__":
    run(compare_compilers)
