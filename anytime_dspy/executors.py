"""Executors: where a sweep runs its examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

import dspy

from anytime_dspy.storage.results import ExampleResult

__all__ = ["Executor", "RunExample", "ReadyExecutor", "ThreadExecutor"]

RunExample = Callable[[str, dspy.Example], ExampleResult]
"""Runs and scores one example, given its id."""


@dataclass(frozen=True)
class ReadyExecutor:
    """An executor that is ready to run examples.

    Attributes:
        run: Runs one example and waits for its result; called from `slots` threads.
        slots: Examples that run at the same time.
    """

    run: RunExample
    slots: int


class Executor(Protocol):
    """Runs a sweep's examples; the sweep stores the results."""

    def running(self, run: RunExample, threads: int) -> AbstractContextManager[ReadyExecutor]:
        """Starts what runs the examples, for the time of the `with` block.

        Args:
            run: Runs an example under the settings of the surrounding `dspy.context`.
            threads: Examples that run at the same time in each process.

        Raises:
            ClusterError: It cannot be started. No LM call was made.
        """
        ...


class ThreadExecutor:
    """Runs examples in the threads of this process."""

    @contextmanager
    def running(self, run: RunExample, threads: int) -> Iterator[ReadyExecutor]:
        """Yields `run` itself."""
        yield ReadyExecutor(run, threads)
