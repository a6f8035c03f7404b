"""Tasks by name: the built-in ones, those of installed plug-ins, and those in a file of one's own."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import cloudpickle

from anytime_dspy.errors import DataError

if TYPE_CHECKING:
    from anytime_dspy.programs.task import Task

__all__ = ["chosen_task", "get_task", "task_names"]

BUILT_IN = ("trip", "aime", "gpqa", "word_problems")
ENTRY_POINTS = "anytime_dspy.tasks"


def task_names() -> tuple[str, ...]:
    """Returns the names that `get_task` knows: the library's own, then those of installed plug-ins."""
    return (*BUILT_IN, *sorted(_plug_ins()))


def get_task(name: str | Path) -> Task:
    """Returns a task by name, or from a file.

    Args:
        name: One of `task_names()`, or the path of a Python file that defines `task = Task(...)`.

    Raises:
        DataError: There is no such task or file, or the plug-in does not import or defines no task.

    Example:
        >>> get_task("word_problems").name
        'word_problems'
    """
    if isinstance(name, Path) or name.endswith(".py"):
        return _checked(getattr(_run_file(Path(name)), "task", None), f"{name} defines no module-level `task`")
    if name in BUILT_IN:
        return _checked(importlib.import_module(f"{__package__}.{name}").task, f"task {name!r} is broken")
    plug_ins = _plug_ins()
    if name in plug_ins:
        try:
            loaded = plug_ins[name].load()
        except Exception as error:  # a plug-in is anyone's code
            raise DataError(f"the plug-in task {name!r} does not import ({_reason(error)}): repair it") from error
        return _checked(loaded, f"the plug-in {plug_ins[name].value!r} is no Task")
    close = difflib.get_close_matches(name, task_names(), n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise DataError(f"no task {name!r}: {hint}there are {', '.join(task_names())}, or pass the path of a my_task.py")


def chosen_task(name: str | Path, *, show_texts: bool, copies_texts: bool = False) -> Task:
    """Returns a task as `get_task` does, with the user's consent to write a private task's texts into files, or not.

    Args:
        name: As for `get_task`.
        show_texts: Whether the user consents.
        copies_texts: Whether texts of the task will be written in any case.

    Raises:
        DataError: There is no such task, or texts of a private one would be written without consent.
    """
    task = get_task(name)
    if show_texts:
        return replace(task, private=False)
    if task.private and copies_texts:
        raise DataError(
            f"a program compiled on {task.name} holds questions and reasoning of it, which its authors ask not to "
            "publish: add --show-gpqa to write them into the run's folder"
        )
    return task


def _plug_ins() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=ENTRY_POINTS)}


def _run_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise DataError(f"no task file {path}: check the path")
    module_name = f"anytime_dspy_task_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise DataError(f"{path} is no Python file: a task file ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses and pickle look their module up by name
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a plug-in is anyone's code
        del sys.modules[module_name]
        raise DataError(f"the task file {path} does not import ({_reason(error)}): repair it") from error
    cloudpickle.register_pickle_by_value(module)  # another process, of Ray for one, cannot import it by its name
    return module


def _checked(candidate: object, complaint: str) -> Task:
    from anytime_dspy.budgets import check_budgets
    from anytime_dspy.programs.task import Task

    if not isinstance(candidate, Task):
        raise DataError(f"{complaint}: define `task = Task(...)` with anytime_dspy.programs.task.Task")
    check_budgets(candidate.budgets)
    try:
        candidate.program()
    except Exception as error:  # a signature is anything until DSPy has read it
        raise DataError(
            f"task {candidate.name!r} has the signature {candidate.signature!r}, which DSPy does not take "
            f"({_reason(error)}): write it as in 'question -> answer'"
        ) from error
    return candidate


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
