"""Locks for processes that share a folder; whoever dies loses them."""

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
"""Raised where a lock is held by another process, and waiting for it was not asked for."""


def held(folder: AnyFolder | None, name: str, *, wait: bool = True) -> AbstractContextManager[Any]:
    """Takes the lock of that name, which no other process of this folder holds then; returns a context that ends so.

    The operating system takes a lock on disk back when its holder dies. In a database it is a lease that runs out.

    Args:
        folder: The locks are files in its folder `locks`, or leases of a database; None needs no lock, since nobody
            else is there.
        name: The lock's.
        wait: Whether to wait for another process.

    Raises:
        Busy: Another process holds it, and waiting was not asked for.
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
