"""JSON and JSON Lines files, written whole or not at all."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from filelock import FileLock
from pydantic_core import to_jsonable_python

from anytime_dspy.errors import RunError

__all__ = [
    "DAMAGE",
    "LineLog",
    "SharedLines",
    "as_line",
    "content_hash",
    "lock_path",
    "on_disk",
    "parsed_line",
    "read_json",
    "reading",
    "reason_of",
    "write_json",
    "write_lines",
    "write_text",
]

logger = logging.getLogger(__name__)

Line = TypeVar("Line")


def _as_it_is(value: Any) -> Any:
    return value


DAMAGE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What reading a damaged file can raise: it is no JSON, or JSON of something else."""


def reason_of(error: Exception) -> str:
    """Returns what was wrong with a damaged file, in one line."""
    return f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())


class SharedLines(Generic[Line]):
    """A file that grows by lines, each written whole; several threads and processes may use it together.

    Reading and writing take place inside a block of `alone`. Whoever is alone and finds a last line without an end
    knows that its writer was killed, and takes it off.

    Args:
        path: The file; the first line makes it where it is not there.
        read: Makes of a line's number, counted from 1, and its content what it stands for.
    """

    def __init__(self, path: Path, read: Callable[[int, bytes], Line]) -> None:
        self.path = path
        self._read = read
        self._seen = _Seen()
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """How many lines were read so far."""
        return self._seen.lines

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps all others who write off the file inside the block.

        Raises:
            OSError: The file's folder cannot be written to.
        """
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock_path(self.path)):
                yield

    def news(self) -> list[Line]:
        """Returns the lines that were added since lines were last read, here or by another process.

        Raises:
            OSError: The file cannot be read.
        """
        mend(self.path)
        return self.whole()

    def whole(self) -> list[Line]:
        """Returns the same to one who only looks, and need not be alone: a line that is not whole is left for later.

        Raises:
            OSError: The file cannot be read.
        """
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            if inode != self._seen.inode:
                self._seen = _Seen(inode)  # its lines were rearranged
            file.seek(self._seen.bytes)
            *lines, torn = file.read().split(b"\n")
        if torn:
            logger.warning("The last line of %s is left out: it was cut off, or is still being written", self.path)
        found = [self._read(number, line) for number, line in enumerate(lines, start=self._seen.lines + 1)]
        self._seen = _Seen(
            inode, self._seen.bytes + sum(len(line) + 1 for line in lines), self._seen.lines + len(lines)
        )
        return found

    def again(self) -> list[Line]:
        """Returns all lines, those that were read before too.

        Raises:
            OSError: The file cannot be read.
        """
        self._seen = _Seen()
        return self.news()

    def rearrange(self, numbers: Sequence[int]) -> None:
        """Keeps some lines, in an order of their own; whoever reads lines next reads all of them.

        Args:
            numbers: Of the lines, counted from 1. All lines have been read.

        Raises:
            OSError: It cannot be written; what was there stays as it is.
        """
        if list(numbers) == list(range(1, self._seen.lines + 1)):
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
        self._seen = _Seen(self.path.stat().st_ino, sum(starts[n] - starts[n - 1] for n in numbers), len(numbers))

    def append(self, line: str) -> None:
        """Adds a line, which ends in a line feed, and waits until it is on disk.

        Raises:
            OSError: It cannot be written; what was there stays whole.
        """
        mend(self.path)
        append_line(self.path, line)


class LineLog(Generic[Line]):
    """A JSON Lines file that grows by a line at a time; whoever opens it again goes on with it.

    A line is on disk once `append` returns. A last line that was torn by a kill counts as never written. The first line
    says what the others belong to, so that two runs never mix. Several threads and processes may use it together.

    Args:
        path: The file; it is made where it is not there.
        fingerprint: All that decides what is written.
        read: Makes of a line's JSON what it stands for; what it cannot read belongs to something else.
        kind: What a line is, for the error.

    Attributes:
        lines: What was there when it was opened.

    Raises:
        RunError: The file belongs to another run, is damaged, or cannot be written.
    """

    def __init__(
        self,
        path: Path,
        fingerprint: Mapping[str, Any],
        read: Callable[[Any], Line] = _as_it_is,
        kind: str = "line of this run",
    ) -> None:
        self._path = path
        self._read = read
        self._kind = kind
        self._lines: SharedLines[list[Line]] = SharedLines(path, self._line)
        wanted = {"fingerprint": fingerprint}
        self._wanted = json.loads(as_line(wanted))
        with self._alone():
            self.lines = self._news()
            if self._lines.count == 0:
                self._lines.append(as_line(wanted))

    def append(self, value: Any) -> None:
        """Adds a line and waits until it is on disk.

        Raises:
            RunError: It cannot be written; what was there stays whole.
        """
        with self._alone():
            self._lines.append(as_line(value))

    def news(self) -> list[Line]:
        """Returns the lines that were added since lines were last read, here or by another process.

        Raises:
            RunError: A line is damaged, or the file cannot be read.
        """
        with self._alone():
            return self._news()

    def _news(self) -> list[Line]:
        return [line for lines in self._lines.news() for line in lines]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with on_disk(self._path), self._lines.alone():
            yield

    def _line(self, number: int, content: bytes) -> list[Line]:
        """What a line stands for; nothing for the first one, which says what the others belong to."""
        if number == 1:
            self._refuse_another(parsed_line(self._path, 1, content))
            return []
        value = parsed_line(self._path, number, content)
        try:
            return [self._read(value)]
        except DAMAGE as error:
            raise RunError(
                f"line {number} of {self._path} holds something that is no {self._kind} ({reason_of(error)}): "
                "choose another folder, or restore or delete that line"
            ) from error

    def _refuse_another(self, first: Any) -> None:
        found = first.get("fingerprint") if isinstance(first, dict) else None
        if not isinstance(found, dict):
            raise RunError(
                f"line 1 of {self._path} does not say which run it is of: move it away or choose another folder"
            )
        here = self._wanted["fingerprint"]
        for key in dict.fromkeys([*here, *found]):
            if found.get(key) != here.get(key):
                there, now = (json.dumps(run.get(key)) for run in (found, here))
                raise RunError(
                    f"{self._path} is of another run: its {key} is {there}, not {now}; choose another folder"
                )


def as_line(value: Any) -> str:
    """Returns a value as one line of JSON; what JSON cannot hold becomes its `str`, a NaN null."""
    plain = to_jsonable_python(value, inf_nan_mode="null", bytes_mode="base64", fallback=str)
    return json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n"


def content_hash(value: Any) -> str:
    """Returns a short hash of a value's content; the order of a mapping's keys, or of a set, is no part of it."""
    content = json.dumps(json.loads(as_line(_ordered(value))), sort_keys=True)
    return hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:16]


def _ordered(value: Any) -> Any:
    """A value whose sets are lists in one order; that of a set of texts is another one in each process."""
    if isinstance(value, Mapping):
        return {key: _ordered(part) for key, part in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(_ordered, value), key=as_line)
    return [_ordered(part) for part in value] if isinstance(value, (list, tuple)) else value


def write_lines(path: Path, values: Iterable[Any]) -> None:
    """Writes a JSON Lines file as a whole, or not at all.

    Raises:
        RunError: It cannot be written.
    """
    write_text(path, "".join(map(as_line, values)))


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file as a whole, or not at all.

    Raises:
        RunError: It cannot be written.
    """
    write_text(path, json.dumps(json.loads(as_line(value)), ensure_ascii=False, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text file as a whole, or not at all.

    Raises:
        RunError: It cannot be written.
    """
    partial = partial_path(path)
    with on_disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(text.encode("utf-8", "replace"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)


def append_line(path: Path, line: str) -> None:
    """Adds a line to a file and waits until it is on disk, all of it or nothing.

    Raises:
        OSError: It cannot be written.
    """
    content = line.encode("utf-8", "replace")  # half a surrogate pair, which models do write, becomes a question mark
    with path.open("ab", buffering=0) as file:
        start = os.fstat(file.fileno()).st_size
        try:
            written = 0
            while written < len(content):
                written += file.write(content[written:])
            os.fsync(file.fileno())
        except OSError:
            # Half a line would swallow the next one.
            with suppress(OSError):
                file.truncate(start)
            raise


class _Seen(NamedTuple):
    """How much of a file was read, and of which one: a file that was replaced by another begins anew."""

    inode: int = 0
    bytes: int = 0
    lines: int = 0


def lock_path(path: Path) -> Path:
    """Returns the file whose lock keeps others off `path`."""
    return path.with_name(f".{path.name}.lock")


def partial_path(path: Path) -> Path:
    """Returns a file to write to before it takes the place of `path`."""
    # A name of one's own: another process may be writing the same file.
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")


def mend(path: Path) -> None:
    """Takes off a last line that a kill tore. Nobody else may be writing to the file, which need not be there.

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
    logger.warning("The last line of %s was cut off while it was written: it is done again", path)


def parsed_line(path: Path, number: int, content: bytes) -> Any:
    """Returns what a line of JSON holds.

    Args:
        path: Of the file, for the error.
        number: Of the line, for the error.
        content: The line.

    Raises:
        RunError: It is no JSON.
    """
    try:
        return json.loads(content)
    except DAMAGE as error:
        message = f"line {number} of {path} is damaged ({reason_of(error)}): restore or delete that line"
        raise RunError(message) from error


def read_json(path: Path) -> dict[str, Any]:
    """Returns the JSON object that a file holds.

    Raises:
        RunError: The file cannot be read, or holds something else; the message says where it breaks.
    """
    with reading(path):
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
        return content


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what reading a file raises, and making something of its content, into the one-line error of this library.

    Raises:
        RunError: The file cannot be read, or is damaged.
    """
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot read {path} ({error.strerror or error}): restore it or make it again") from error
    except DAMAGE as error:
        raise RunError(f"{path} is damaged ({reason_of(error)}): restore it or make it again") from error


@contextmanager
def on_disk(path: Path) -> Iterator[None]:
    """Turns what the operating system refuses into the one-line error of this library."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another folder"
        ) from error
