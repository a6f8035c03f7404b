"""What the verbs share: their options, the LM that was named, and progress bars."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import dspy
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from anytime_dspy import lms

if TYPE_CHECKING:
    from anytime_dspy.ray_executor import RayExecutor

__all__ = [
    "Budgets",
    "Data",
    "EmbeddedName",
    "Json",
    "Effort",
    "Limit",
    "ModelName",
    "Out",
    "Ray",
    "SavedProgram",
    "Seed",
    "ShardOption",
    "ShowGpqa",
    "Split",
    "TaskName",
    "Temperature",
    "Threads",
    "open_lm",
    "progress",
    "ray_executor",
    "threads_for",
]

DEFAULT_MODEL = "qwen2.5-coder-0.5b-instruct"

# Panels keep the columns of a help text narrow, so that it reads well at 80 columns too.
MODEL, PROGRAM, DATA, RUN = "Model", "Program", "Data", "Run"


def _model_names(incomplete: str) -> list[str]:
    """Completes an embedded model's name."""
    from anytime_dspy.local import MODELS

    return [name for name in MODELS if name.startswith(incomplete)]


def _task_names(incomplete: str) -> list[str]:
    """Completes a task's name; a path is completed by the shell."""
    from anytime_dspy.programs.registry import task_names

    return [name for name in task_names() if name.startswith(incomplete)]


TaskName = Annotated[
    str,
    typer.Argument(
        metavar="TASK",
        autocompletion=_task_names,
        help="trip, aime, gpqa, word_problems, a plug-in's name or the path of a my_task.py.",
    ),
]
EmbeddedName = Annotated[
    str, typer.Argument(metavar="NAME", autocompletion=_model_names, help="The model's name: see anytime-dspy models.")
]
ModelName = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="NAME",
        rich_help_panel=MODEL,
        autocompletion=_model_names,
        help="An embedded model's name, a .gguf file, or any model that dspy.LM takes, such as openai/gpt-4o-mini.",
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        "--temperature",
        metavar="NUMBER",
        rich_help_panel=MODEL,
        min=0.0,
        max=2.0,
        help="The sampling temperature; by default 0.0, or the model's own default if it rejects that.",
    ),
]
Effort = Annotated[
    str | None,
    typer.Option(
        "--reasoning-effort",
        metavar="LEVEL",
        rich_help_panel=MODEL,
        help="How much a reasoning model thinks before it answers: none, minimal, low, medium, high, as it takes them.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FOLDER",
        rich_help_panel=RUN,
        help="The run's folder, by default one in runs/; the same command with the same folder resumes a run.",
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="FILE_OR_URL",
        rich_help_panel=DATA,
        help="Test data in the task's official format; by default the task's own.",
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="NAME",
        rich_help_panel=DATA,
        help="The split of the data: 2024 or 2025 for aime, diamond, main or extended for gpqa, ...",
    ),
]
ShowGpqa = Annotated[
    bool,
    typer.Option(
        "--show-gpqa",
        rich_help_panel=DATA,
        help="Keep GPQA's texts in the run's files: its authors ask not to publish them.",
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        rich_help_panel=DATA,
        min=1,
        help="Take this many test examples, spread over the data; of generated ones, make as many.",
    ),
]
SavedProgram = Annotated[
    Path | None,
    typer.Option(
        "--program",
        metavar="FILE",
        rich_help_panel=PROGRAM,
        help="A saved program; by default the task's plain one.",
    ),
]
Budgets = Annotated[
    str | None,
    typer.Option(
        "--budgets",
        metavar="LIST",
        rich_help_panel=PROGRAM,
        help="Reasoning tokens, with commas between: 64,128,256. By default the program's own.",
    ),
]
Seed = Annotated[
    int,
    typer.Option("--seed", metavar="N", rich_help_panel=RUN, help="The random seed of data, samples and intervals."),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        rich_help_panel=RUN,
        min=1,
        max=64,
        help="Examples run at the same time (by each actor of Ray); by default what suits the model.",
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        rich_help_panel=RUN,
        help="Run the I-th of N parts of the data, into a folder of its own, for merge.",
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        rich_help_panel=RUN,
        help="Run on the Ray cluster at this address: auto, host:port, ray://host:port, or local.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]

# Whatever is for the eye while a command runs goes to stderr, so that stdout holds the result alone.
stderr = Console(stderr=True)


def threads_for(model: str) -> int:
    """Returns how many examples are run at the same time on a model where nobody says it.

    Raises:
        ModelError: There is no such model, or it cannot be fetched.
    """
    _fetch(model)
    return lms.threads_for(model)


def open_lm(model: str, **options: Any) -> dspy.LM:
    """Returns the LM that was named, after fetching it if it is an embedded one.

    Args:
        model: As typed.
        **options: As for `anytime_dspy.lms.open_lm`.

    Raises:
        ModelError: There is no such model, it cannot be fetched, or it takes none of these options.
    """
    if options.get("reasoning_effort") is None:
        _fetch(model)
    return lms.open_lm(model, **options)


def ray_executor(address: str, model: str, open_one: Callable[[], dspy.LM]) -> RayExecutor:
    """Returns what runs a sweep on a Ray cluster: an actor for each CPU, or for each node where the model is embedded.

    Args:
        address: As typed.
        model: As typed.
        open_one: Opens the LM; called by each actor.

    Raises:
        ClusterError: Ray is not installed, or too old.
    """
    from anytime_dspy.ray_executor import RayExecutor

    # An embedded engine takes all cores of a node for itself; the nodes are taken to be like this machine.
    return RayExecutor(address, num_cpus=(os.cpu_count() or 1) if lms.is_embedded(model) else 1, make_lm=open_one)


def _fetch(model: str) -> None:
    from anytime_dspy.local import MODELS

    if model in MODELS:
        lms.check_engine(model)
        pull_with_progress(model)


def pull_with_progress(name: str) -> Path:
    """Fetches an embedded model into the user's cache folder, unless it is there."""
    from anytime_dspy.local import installed, model_path
    from anytime_dspy.local.pull import pull

    if installed(name):
        return model_path(name)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task(f"Fetching {name}", total=None)
        return pull(name, lambda done, total: bar.update(task, completed=done, total=total))


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[..., None]]:
    """Shows a progress bar on stderr; the callable that it yields moves it on by one."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task(description, total=total)
        yield lambda *_: bar.advance(task)
