"""A file of lines that several threads and processes append to; a kill leaves whole lines only."""

from __future__ import annotations

import itertools
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Generic, TypeVar

from filelock import FileLock

__all__ = ["SharedLines", "lock_path", "partial_path"]

logger = logging.getLogger(__name__)

Line = TypeVar("Line")


class SharedLines(Generic[Line]):
    """A file that several threads and processes append whole lines to.

    Reading and writing need the lock of `exclusive`. A last line without a line feed that is found under the lock was
    left by a killed writer, and is removed.

    Args:
        path: The file; it is created with its first line.
        read: Parses a line, given its number, counted from 1, and its content.
    """

    def __init__(self, path: Path, read: Callable[[int, bytes], Line]) -> None:
        self.path = path
        self._read = read
        self.count = 0
        """Lines read so far."""
        self._bytes = 0
        self._inode = 0
        self._lock = threading.Lock()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Locks the file against all other writers.

        Raises:
            OSError: The file's folder cannot be written to.
        """
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock_path(self.path)):
                yield

    def new_lines(self) -> list[Line]:
        """Returns the lines added since the last call, by this object or another process; needs the lock.

        Raises:
            OSError: The file cannot be read.
        """
        _drop_torn_line(self.path)
        return self.peek()

    def peek(self) -> list[Line]:
        """Returns the same without the lock: a last line that is not whole yet is left for the next call.

        Raises:
            OSError: The file cannot be read.
        """
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            if inode != self._inode:  # `rearrange` has replaced the file
                self._inode, self._bytes, self.count = inode, 0, 0
            file.seek(self._bytes)
            *lines, torn = file.read().split(b"\n")
        if torn:
            logger.warning("The last line of %s is left out: it was cut off, or is still being written", self.path)
        found = [self._read(number, line) for number, line in enumerate(lines, start=self.count + 1)]
        self._bytes += sum(len(line) + 1 for line in lines)
        self.count += len(lines)
        return found

    def all_lines(self) -> list[Line]:
        """Returns all lines, also those that were read before; needs the lock.

        Raises:
            OSError: The file cannot be read.
        """
        self._bytes = self.count = 0
        return self.new_lines()

    def rearrange(self, numbers: Sequence[int]) -> None:
        """Keeps the given lines, in the given order; needs the lock. Other readers then read the file from its start.

        Args:
            numbers: The lines' numbers, counted from 1. All lines have been read.

        Raises:
            OSError: It cannot be written; the file is not changed.
        """
        if list(numbers) == list(range(1, self.count + 1)):
            return
        partial = partial_path(self.path)
        with self.path.open("rb") as file, partial.open("wb") as arranged:
            starts = [0, *itertools.accumulate(map(len, file))]
            for number in numbers:
                file.seek(starts[number - 1])
                arranged.write(file.read(starts[number] - starts[number - 1]))
            arranged.flush()
            os.fsync(arranged.fileno())
        os.replace(partial, self.path)
        written = self.path.stat()
        self._inode, self._bytes, self.count = written.st_ino, written.st_size, len(numbers)

    def append(self, line: str) -> None:
        """Appends a line, which ends in a line feed, and waits until it is on disk; needs the lock.

        Raises:
            OSError: It cannot be written; the earlier lines are not affected.
        """
        _drop_torn_line(self.path)
        _append_line(self.path, line)


def lock_path(path: Path) -> Path:
    """Returns the lock file of a file."""
    return path.with_name(f".{path.name}.lock")


def partial_path(path: Path) -> Path:
    """Returns a file to write before it replaces `path`; its name is unique, since another process may do the same."""
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")


def _append_line(path: Path, line: str) -> None:
    """Appends a whole line to a file, or nothing, and waits until it is on disk.

    Raises:
        OSError: It cannot be written.
    """
    content = line.encode("utf-8", "replace")  # models do write half surrogate pairs
    with path.open("ab", buffering=0) as file:
        start = os.fstat(file.fileno()).st_size
        try:
            written = 0
            while written < len(content):
                written += file.write(content[written:])
            os.fsync(file.fileno())
        except OSError:
            # The next line would be appended to half a line.
            with suppress(OSError):
                file.truncate(start)
            raise


def _drop_torn_line(path: Path) -> None:
    """Removes a last line that a kill tore; needs the file's lock. The file need not exist.

    Raises:
        OSError: It cannot be read or written.
    """
    if not path.exists():
        return
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if file.read() in (b"", b"\n"):
            return
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
    logger.warning("The last line of %s was cut off while it was written: its work is done again", path)
