"""What the experiments' commands have in common: their errors, and a bar for each sweep."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import Progress

from anytime_dspy.errors import AnytimeError

__all__ = ["run", "sweeping_bar"]


def run(command: Callable[..., None]) -> None:
    """Runs a command; a user's error is one line and exit code 2."""
    try:
        typer.run(command)
    except AnytimeError as error:
        Console(stderr=True).print(f"Error: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)


@contextmanager
def sweeping_bar(label: str, left: int) -> Iterator[Callable[..., None]]:
    """Shows a sweep's progress on stderr."""
    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(f"Sweeping {label}", total=left)
        yield lambda _: bars.advance(task)
