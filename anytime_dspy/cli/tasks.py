"""Builds the program and the default folder from command-line arguments."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from anytime_dspy.anytime import Anytime
from anytime_dspy.budgets import parse_budgets

if TYPE_CHECKING:
    from anytime_dspy.programs.task import Task

__all__ = ["anytime_program", "default_folder"]


def anytime_program(task: Task, budgets: str | None, saved: Path | None) -> Anytime:
    """Returns a task's program at its budgets: those typed, else those saved with it, else the task's own.

    Raises:
        BudgetError: The budgets cannot be used.
        ProgramError: The saved program cannot be read, or is another task's.
    """
    grid = parse_budgets(budgets) if budgets is not None else task.budgets
    program = Anytime(task.program(), budgets=grid, answer_tokens=task.answer_tokens)
    if saved is None:
        return program
    program.load(saved)
    return program if budgets is None else Anytime(program.program, budgets=grid, answer_tokens=program.answer_tokens)


def default_folder(verb: str, task: str) -> Path:
    """Returns a new folder's path under runs/, named after the time."""
    return Path("runs") / f"{verb}-{Path(task).stem}-{datetime.now():%Y%m%d-%H%M%S}"
