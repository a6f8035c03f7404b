"""Locks for processes that work in one folder; the operating system takes a lock back when its holder dies."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

__all__ = ["Busy", "JournalLock", "held"]

Busy = Timeout
"""Raised where a lock is held by another process, and waiting for it was not asked for."""


def held(folder: Path | None, name: str, *, wait: bool = True) -> AbstractContextManager[Any]:
    """Returns a context in which no other process of this folder holds the lock of that name.

    Args:
        folder: The locks are files in its folder `locks`; None needs no lock, since nobody else is there.
        name: The lock's.
        wait: Whether to wait for another process; else entering the context raises `Busy`.
    """
    return nullcontext() if folder is None else _file_lock(folder, name).acquire(blocking=wait)


class JournalLock:
    """Optuna's lock of its journal, but one that a killed process does not leave behind.

    Args:
        folder: Where the journal is.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = _file_lock(folder, "journal")

    def acquire(self) -> bool:
        """Waits for the lock."""
        self._lock.acquire()
        return True

    def release(self) -> None:
        """Gives it back."""
        self._lock.release()


def _file_lock(folder: Path, name: str) -> FileLock:
    (folder / "locks").mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "locks" / f"{name}.lock")
