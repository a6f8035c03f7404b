"""Locks for processes that work in one folder; the operating system takes a lock back when its holder dies."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from anytime_dspy.errors import RunError

__all__ = ["Busy", "held"]

Busy = Timeout
"""Raised where a lock is held by another process, and waiting for it was not asked for."""


def held(folder: Path | None, name: str, *, wait: bool = True) -> AbstractContextManager[Any]:
    """Takes the lock of that name, which no other process of this folder holds then; returns a context that ends so.

    Args:
        folder: The locks are files in its folder `locks`; None needs no lock, since nobody else is there.
        name: The lock's.
        wait: Whether to wait for another process.

    Raises:
        Busy: Another process holds it, and waiting was not asked for.
        RunError: The folder cannot be written to.
    """
    if folder is None:
        return nullcontext()
    path = folder / "locks" / f"{name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path).acquire(blocking=wait)
    except Busy:  # an OSError too
        raise
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}; choose another folder") from error
