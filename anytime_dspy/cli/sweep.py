"""`anytime-dspy sweep`: how good a program is at every budget."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from anytime_dspy.cli.options import (
    DEFAULT_MODEL,
    RUN,
    Budgets,
    Data,
    Effort,
    Json,
    Limit,
    ModelName,
    Out,
    Ray,
    SavedProgram,
    Seed,
    ShardOption,
    ShowGpqa,
    Split,
    TaskName,
    Temperature,
    Threads,
)
from anytime_dspy.errors import DataError

if TYPE_CHECKING:
    from anytime_dspy.programs.task import Task
    from anytime_dspy.storage.results import ExampleResult

EXAMPLE = "Example: [cyan]anytime-dspy sweep trip --data trip_planning.json --limit 8 --out runs/trip[/cyan]"


def sweep(
    task: TaskName,
    model: ModelName = DEFAULT_MODEL,
    temperature: Temperature = None,
    reasoning_effort: Effort = None,
    data: Data = None,
    split: Split = None,
    program: SavedProgram = None,
    limit: Limit = None,
    budgets: Budgets = None,
    out: Out = None,
    seed: Seed = 0,
    threads: Threads = None,
    shard: ShardOption = None,
    ray: Ray = None,
    batch: Annotated[
        bool,
        typer.Option(
            "--batch", rich_help_panel=RUN, help="Use the provider's batch API: half the price, and done within a day."
        ),
    ] = False,
    show_gpqa: ShowGpqa = False,
    as_json: Json = False,
) -> None:
    """Runs a task's program on its test data and scores the answer at every budget."""
    from anytime_dspy.cli.options import open_lm, ray_executor, threads_for
    from anytime_dspy.cli.results import show, sweeping_bar
    from anytime_dspy.cli.tasks import anytime_program, default_folder
    from anytime_dspy.measure import sweep as sweep_live
    from anytime_dspy.programs.examples import test_examples
    from anytime_dspy.programs.measurement import Measurement
    from anytime_dspy.programs.registry import chosen_task
    from anytime_dspy.storage.shards import Shard

    part = None if shard is None else Shard.parse(shard)
    chosen = chosen_task(task, show_texts=show_gpqa)
    if batch:
        _check_batch(chosen, model, ray)
    subject = anytime_program(chosen, budgets, program)
    examples = test_examples(chosen, data, split, seed, limit)
    folder = out or default_folder("sweep", chosen.name)
    threads = threads or threads_for(model)
    open_one = partial(open_lm, model, threads=threads, temperature=temperature, reasoning_effort=reasoning_effort)
    executor = None if ray is None else ray_executor(ray, model, open_one)
    run = _batch_sweep() if batch else partial(sweep_live, executor=executor)
    measurement = Measurement(chosen, examples, open_one(), threads, seed, run, sweeping_bar)
    label = "compiled" if program else "plain"
    swept = measurement.swept(label, subject, folder, part)
    if not swept.results:
        typer.echo(f"No example falls into shard {part}: {folder} holds none, and merge takes it as it is")
        return
    measured = measurement.summed(label, swept)
    show([measured], [], folder, title=f"{chosen.name} on {model}", as_json=as_json)


def _check_batch(task: Task, model: str, ray: str | None) -> None:
    """Refuses a batch before a model is fetched for it."""
    from anytime_dspy.batch.checks import check_model

    check_model(model)
    if ray is not None:
        raise DataError("a batch is run by the provider, and not by a cluster: leave out --ray, or --batch")
    if task.private:
        raise DataError(
            f"a batch keeps its requests in the run's folder, with questions of {task.name}, which its authors ask not "
            "to publish: add --show-gpqa, or sweep live"
        )


def _batch_sweep() -> Callable[..., list[ExampleResult]]:
    from anytime_dspy.batch import sweep_batch
    from anytime_dspy.cli.progress import show_job

    return partial(sweep_batch, on_job=show_job)
