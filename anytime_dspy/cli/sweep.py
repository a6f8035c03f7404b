"""`anytime-dspy sweep`: how good a program is at every budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anytime_dspy.cli.options import (
    DEFAULT_MODEL,
    Budgets,
    Data,
    Effort,
    Json,
    Limit,
    ModelName,
    Out,
    Seed,
    ShowGpqa,
    Split,
    Temperature,
    Threads,
)
from anytime_dspy.errors import DataError

if TYPE_CHECKING:
    from anytime_dspy.programs.task import Task

EXAMPLE = "Example: [cyan]anytime-dspy sweep trip --data trip_planning.json --limit 8 --out runs/trip[/cyan]"


def sweep(
    task: Annotated[
        str, typer.Argument(help="trip, aime, gpqa, word_problems, a plug-in's name or the path of a my_task.py.")
    ],
    model: ModelName = DEFAULT_MODEL,
    temperature: Temperature = None,
    reasoning_effort: Effort = None,
    data: Data = None,
    split: Split = None,
    program: Annotated[
        Path | None, typer.Option("--program", help="A saved program; else the task's plain one.")
    ] = None,
    limit: Limit = None,
    budgets: Budgets = None,
    out: Out = None,
    seed: Seed = 0,
    threads: Threads = None,
    batch: Annotated[
        bool, typer.Option("--batch", help="By the provider's batch API: half the price, and done within a day.")
    ] = False,
    show_gpqa: ShowGpqa = False,
    as_json: Json = False,
) -> None:
    """Runs a task's program on its test data and scores the answer at every budget."""
    from anytime_dspy.cli.measure import Measurement, show
    from anytime_dspy.cli.options import open_lm, spread, threads_for
    from anytime_dspy.cli.tasks import anytime_program, chosen_task, default_folder, test_examples

    chosen = chosen_task(task, show_texts=show_gpqa)
    if batch:
        _check_batch(chosen, model)
    subject = anytime_program(chosen, budgets, program)
    examples = spread(test_examples(chosen, data, split, seed), limit)
    folder = out or default_folder("sweep", chosen.name)
    threads = threads or threads_for(model)
    lm = open_lm(model, threads=threads, temperature=temperature, reasoning_effort=reasoning_effort)
    measurement = Measurement(chosen, examples, lm, threads, seed, batch)
    measured = measurement.of("compiled" if program else "plain", subject, folder)
    show([measured], [], folder, title=f"{chosen.name} on {model}", as_json=as_json)


def _check_batch(task: Task, model: str) -> None:
    """Refuses a batch before a model is fetched for it."""
    from anytime_dspy.batch.checks import check_model

    check_model(model)
    if task.private:
        raise DataError(
            f"A batch keeps its requests in the run's folder, with questions of {task.name}, which its authors ask not "
            "to publish: add --show-gpqa, or sweep live."
        )
