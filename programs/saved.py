"""A task's program in a file, which says what task it is for."""

from __future__ import annotations

from pathlib import Path

import dspy

from anytime_dspy.errors import DataError, RunError
from anytime_dspy.state import BUDGETS_KEY
from anytime_dspy.storage.jsonl import read_json, write_json

__all__ = ["save_program", "task_of"]


def save_program(program: dspy.Module, path: Path, task: str) -> None:
    """Saves an `Anytime` with the name of its task, so that `anytime-dspy run` knows what to build.

    Raises:
        RunError: The file cannot be written.
    """
    partial = path.with_name(f"{path.stem}.part.json")
    try:
        program.save(partial)
        state = read_json(partial)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    state[BUDGETS_KEY]["task"] = task
    write_json(path, state)


def task_of(path: Path) -> str | None:
    """Returns the name of the task that a program was saved for; None if the file does not say it.

    Raises:
        DataError: The file is no saved program.
    """
    try:
        budgets = read_json(path).get(BUDGETS_KEY)
    except RunError as error:
        raise DataError(str(error)) from error
    task = budgets.get("task") if isinstance(budgets, dict) else None
    return task if isinstance(task, str) else None
