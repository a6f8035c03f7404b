"""The paper's table on your own models: `python -m experiments.paper_table GRID.toml --out FOLDER`.

Each cell of the grid (a model, a data set, a method) is a folder of its own. The same command goes on where it was
stopped; what failed is tried again. `--dry-run` says what it will cost at most, and how long it takes, and spends
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from dspy.utils.exceptions import LMError
from rich.console import Console
from rich.table import Table

from anytime_dspy.errors import AnytimeError
from anytime_dspy.storage.jsonl import write_json
from experiments.command import run
from experiments.paper.cells import Bench, Cell, Examples, examples_of, measured, open_model
from experiments.paper.estimate import COUNTED_AS, Cost, Line, Pace, Stage, estimate
from experiments.paper.grid import Grid, Method, read_grid
from experiments.paper.outcome import as_json, as_markdown, signs

Columns = dict[str, Examples]
Cells = dict[tuple[str, str, Method], Cell]


def paper_table(
    grid_file: Annotated[Path, typer.Argument(metavar="GRID", help="A grid, such as experiments/paper.toml.")],
    out: Annotated[Path, typer.Option("--out", help="The folder of all cells and of table.md.")] = Path("runs/paper"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what each cell costs at most.")] = False,
    show_gpqa: Annotated[
        bool, typer.Option("--show-gpqa", help="Let GPQA's texts stand in the folder: compiled programs hold some.")
    ] = False,
    in_flight: Annotated[
        list[int], typer.Option("--in-flight", min=1, help="Of a dry run: calls at the same time; may be repeated.")
    ] = [64, 1000],  # noqa: B006, typer copies it
    latency: Annotated[
        float, typer.Option("--latency", min=0.0, help="Of a dry run: seconds until the first token of a reply.")
    ] = 1.0,
    speed: Annotated[
        float, typer.Option("--speed", min=1.0, help="Of a dry run: tokens that a reply then gets in a second.")
    ] = 50.0,
) -> None:
    """Runs what is missing of a grid, and writes table.md and table.json."""
    grid = read_grid(grid_file)
    learning = any(method != "Base" for method in grid.methods)
    show_texts = show_gpqa or dry_run  # a dry run writes nothing
    columns = {data.name: examples_of(data, grid.seed, learning=learning, show_texts=show_texts) for data in grid.data}
    if dry_run:
        Console().print(cost_table(grid, estimate(grid, columns), Pace(latency, speed), in_flight))
        return
    cells, failures = run_grid(grid, columns, out)
    found = signs(grid, cells)
    report = as_markdown(grid, cells, found, failures)
    write_json(out / "table.json", as_json(grid, cells, found, failures))
    (out / "table.md").write_text(report, encoding="utf-8")
    print(report)
    if failures:
        raise typer.Exit(1)


def run_grid(grid: Grid, columns: Columns, out: Path) -> tuple[Cells, list[str]]:
    """Runs every cell, or what is missing of it.

    Returns:
        What was measured, and a line for each cell that failed: the others go on, since they may cost days.
    """
    lms = {model.name: open_model(model, grid.threads) for model in grid.models}
    cells: Cells = {}
    failures = []
    for model in grid.models:
        for data in grid.data:
            bench = Bench(grid, model, data, columns[data.name], lms[model.name], out)
            for method in grid.methods:
                cell = f"{model.name}, {data.name}, {method}"
                try:
                    result = measured(bench, method)
                except (AnytimeError, LMError) as error:
                    failures.append(f"{cell}: {' '.join(str(error).split())}")
                    continue
                cells[model.name, data.name, method] = result
                if result.summary.failed:
                    failures.append(f"{cell}: {result.summary.failed} examples failed, and are in no figure")
    return cells, failures


def cost_table(grid: Grid, lines: Sequence[Line], pace: Pace, in_flight: Sequence[int]) -> Table:
    """Returns what each cell costs and how long it takes at most, and all of them, one after the other."""
    table = Table(title=f"{grid.title}: at most")
    for column in ("Model", "Data", "Method"):
        table.add_column(column)
    at = [f"Hours at {n:,}" for n in in_flight]
    for column in ("Calls", "Prompt tokens", "Completion tokens", "Dollars", *at):
        table.add_column(column, justify="right")

    def hours(stages: Sequence[Stage]) -> list[str]:
        return [f"{pace.seconds(stages, n) / 3600:,.2f}" for n in in_flight]

    for line in lines:
        price = "?" if line.dollars is None else f"{line.dollars:,.2f}"
        table.add_row(line.model, line.data, line.method, *_figures(line.cost), price, *hours(line.stages))
    table.add_section()
    total = sum((line.cost for line in lines), Cost())
    price = f"{sum(line.dollars or 0.0 for line in lines):,.2f}"
    table.add_row("All", "", "", *_figures(total), price, *hours([stage for line in lines for stage in line.stages]))
    table.caption = f"Tokens as those of {COUNTED_AS}. Hours with so many calls in flight, {pace.latency:g} s until a "
    table.caption += f"reply begins and {pace.speed:g} tokens a second from then on."
    if unpriced := dict.fromkeys(line.model for line in lines if line.dollars is None):
        table.caption += f" Without a price, and not in the sum: {', '.join(unpriced)}."
    return table


def _figures(cost: Cost) -> tuple[str, ...]:
    return tuple(f"{figure:,}" for figure in (cost.calls, cost.prompt, cost.completion))


if __name__ == "__main__":
    run(paper_table)
