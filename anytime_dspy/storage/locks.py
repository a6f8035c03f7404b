"""Locks for processes that share a folder; a process that dies loses its locks."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from filelock import FileLock, Timeout

from anytime_dspy.errors import RunError

if TYPE_CHECKING:
    from anytime_dspy.storage.database import DatabaseFolder

__all__ = ["AnyFolder", "Busy", "held"]

AnyFolder: TypeAlias = "Path | DatabaseFolder"
"""A folder on disk, or one that hosts share in a database."""

Busy = Timeout
"""Another process holds the lock, and `wait` is False."""


def held(folder: AnyFolder | None, name: str, *, wait: bool = True) -> AbstractContextManager[Any]:
    """Acquires a lock, and returns a context manager that releases it.

    The operating system releases a file lock when its holder dies. In a database the lock is a lease that expires.

    Args:
        folder: A folder, with lock files in its folder `locks`, or a database with leases; None needs no lock.
        name: The name of the lock.
        wait: Whether to wait while another process holds it.

    Raises:
        Busy: Another process holds it, and `wait` is False.
        RunError: The folder cannot be written to.
    """
    if folder is None:
        return nullcontext()
    if not isinstance(folder, Path):
        return folder.lease(name, wait=wait)
    path = folder / "locks" / f"{name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path).acquire(blocking=wait)
    except Busy:  # an OSError too
        raise
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}; choose another folder") from error
