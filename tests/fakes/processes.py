"""Processes that tests kill: real ones, forked from a server that has done the slow imports once."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(
    [
        "tests.batch.sweeps",
        "tests.optimizers.compile_that_is_killed",
        "tests.optimizers.compile_on_a_database",
        "tests.optimizers.sampling_that_is_killed",
    ]
)


def begun(function: Callable[..., None], *args: Any) -> BaseProcess:
    """Starts a process that calls a function of a module."""
    process = _forks.Process(target=function, args=args)
    process.start()
    return process


def ended(process: BaseProcess) -> int:
    """Waits for a process to end, and returns what it ended with: minus the signal, where it was killed."""
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def killed(process: BaseProcess) -> bool:
    """Kills a process with SIGKILL, and says whether that was what ended it."""
    process.kill()
    return ended(process) == -signal.SIGKILL
