"""Threads that inherit DSPy's settings."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import Context, copy_context
from typing import TypeVar

from anytime_dspy.dashboards.mlflow_runs import active_run_id, outer_run
from anytime_dspy.runtime.telemetry import current_spans, shared_spans

__all__ = ["copied_context", "map_unordered"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def copied_context() -> Context:
    """Returns a copy of the caller's context for a thread that works on one of many items.

    DSPy keeps its settings in context variables, which the threads of a pool do not inherit. The copy also records
    MLflow's active run and the current trace span, which belong to all items together.
    """
    copied = copy_context()
    copied.run(outer_run.set, active_run_id())
    copied.run(shared_spans.set, current_spans())
    return copied


def map_unordered(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Generator[tuple[int, Result], None, None]:
    """Runs `function` on every item and yields each item's position and result as it finishes.

    Each call sees the caller's settings, as `copied_context` says. An exception of a call is raised here, and calls
    that have not started are dropped.

    Args:
        function: The function; called from several threads.
        items: Its arguments.
        threads: Calls at the same time.
    """
    pool = ThreadPoolExecutor(max_workers=threads)
    waiting = iter(enumerate(items))
    running: dict[Future[Result], int] = {}

    def begin(most: int) -> None:
        for place, item in itertools.islice(waiting, most):
            running[pool.submit(copied_context().run, function, item)] = place

    try:
        begin(threads)
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            # Only as many as have finished are started, so that a caller who stops has paid for little beyond.
            begin(len(done))
            for future in sorted(done, key=lambda future: running[future]):
                yield running.pop(future), future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
