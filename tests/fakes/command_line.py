"""The command line: within this process, where a start costs nothing, or in one of its own, as a user runs it."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dspy
import pytest
from dspy.clients.cache import Cache

from anytime_dspy.cli import main as command
from anytime_dspy.cli import options

Done = subprocess.CompletedProcess[str]

LOGGERS = ("anytime_dspy", "anytime_dspy.calls.acceptance", "dspy", "LiteLLM")


def cli(*arguments: object, cwd: Path, **environment: str) -> Done:
    """Runs a command to its end within this process, with an empty cache of DSPy's unless DSPY_CACHEDIR names one."""
    typed = ["anytime-dspy", *map(str, arguments)]
    stdout, stderr = StringIO(), StringIO()
    code: Any = 0
    with pytest.MonkeyPatch.context() as patch, _own_cache(environment.get("DSPY_CACHEDIR")), _own_loggers():
        patch.chdir(cwd)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", typed)
        patch.setattr(command, "os", SimpleNamespace(_exit=sys.exit))  # where it would end this process
        for registered in ("registered_commands", "registered_groups"):
            patch.setattr(command.app, registered, [*getattr(command.app, registered)])
        with _closed_lms(patch), redirect_stdout(stdout), redirect_stderr(stderr):
            try:
                command.main()
            except SystemExit as end:
                code = end.code or 0
    return subprocess.CompletedProcess(typed, code, stdout.getvalue(), stderr.getvalue())


def cli_process(*arguments: object, cwd: Path, **environment: str) -> Done:
    """Runs a command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "anytime_dspy", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def assert_refused(done: Done, *words: str) -> None:
    """One clear line, exit code 2, nothing on stdout."""
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in lines[0]


@contextmanager
def _own_cache(folder: str | None) -> Iterator[None]:
    outer = dspy.cache
    dspy.cache = own = Cache(
        enable_disk_cache=folder is not None,
        enable_memory_cache=True,
        disk_cache_dir=folder,
        disk_size_limit_bytes=10**9,
    )
    try:
        yield
    finally:
        dspy.cache = outer
        if folder is not None:
            own.disk_cache.close()


@contextmanager
def _own_loggers() -> Iterator[None]:
    """Takes back what the command sets for its process."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger.level, logger.propagate, logger.handlers[:]) for logger in loggers]
    try:
        yield
    finally:
        for logger, (logger.level, logger.propagate, logger.handlers) in zip(loggers, before, strict=True):
            logger.setLevel(logger.level)  # forgets which levels it found to be on


@contextmanager
def _closed_lms(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Closes the connections of the LMs that the command opens, as the end of its process would.

    Threads that call litellm at once each make a client, and it closes none.
    """
    opened: list[dspy.LM] = []
    open_lm = options.open_lm

    def remembered(*arguments: Any, **named: Any) -> dspy.LM:
        opened.append(open_lm(*arguments, **named))
        return opened[-1]

    patch.setattr(options, "open_lm", remembered)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed <s", ResourceWarning)
        try:
            yield
        finally:
            for lm in opened:
                lm.close()
            if opened:
                gc.collect()
