"""Threads that see DSPy's settings."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TypeVar

__all__ = ["finished"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def finished(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[tuple[int, Result]]:
    """Runs `function` on every item and yields each item's place and result as it finishes.

    DSPy keeps its settings in context variables, which the threads of a pool do not see by themselves; here each call
    gets a copy of the caller's. What a call raises is raised here, and calls that have not begun are dropped.

    Args:
        function: What to run; called from several threads.
        items: What to run it on.
        threads: Calls at the same time.
    """
    pool = ThreadPoolExecutor(max_workers=threads)
    waiting = iter(enumerate(items))
    running: dict[Future[Result], int] = {}

    def begin(most: int) -> None:
        for place, item in itertools.islice(waiting, most):
            running[pool.submit(copy_context().run, function, item)] = place

    try:
        begin(threads)
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            # No more than is at work is begun, so that a caller who stops at a result has paid for little beyond it.
            begin(len(done))
            for future in sorted(done, key=lambda future: running[future]):
                yield running.pop(future), future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
