"""Where a sweep runs its examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import dspy

from anytime_dspy.storage.results import ExampleResult

__all__ = ["Executor", "Run", "Running", "ThreadExecutor"]

Run = Callable[[str, dspy.Example], ExampleResult]
"""Runs one example, known by its id, and scores it."""


@dataclass(frozen=True)
class Running:
    """What an executor has ready.

    Attributes:
        run: Runs one example and returns when it is done; called from `slots` threads.
        slots: Examples that it runs at the same time.
    """

    run: Run
    slots: int


class Executor(Protocol):
    """Where a sweep runs its examples; each result comes back to the sweep, which writes it."""

    def running(self, run: Run, threads: int) -> AbstractContextManager[Running]:
        """Makes ready to run examples inside the block.

        Args:
            run: What runs an example, under the settings of the `dspy.context` around.
            threads: Examples at the same time, in each process.

        Raises:
            ClusterError: It cannot; nothing has been paid for then.
        """
        ...


class ThreadExecutor:
    """Runs examples in the threads of this process."""

    @contextmanager
    def running(self, run: Run, threads: int) -> Iterator[Running]:
        """Runs examples where the sweep runs."""
        yield Running(run, threads)
