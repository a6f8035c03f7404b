"""JSON and JSON Lines files, whose writes are atomic."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from pydantic_core import to_jsonable_python

from anytime_dspy.errors import RunError
from anytime_dspy.storage.shared_lines import SharedLines, partial_path

if TYPE_CHECKING:
    from anytime_dspy.storage.database import DatabaseFile

__all__ = [
    "DAMAGE",
    "AnyFile",
    "LineLog",
    "as_json",
    "json_line",
    "content_hash",
    "writing",
    "parsed_line",
    "read_json",
    "reading",
    "reason_of",
    "write_json",
    "write_lines",
    "write_text",
]

Line = TypeVar("Line")

AnyFile: TypeAlias = "Path | DatabaseFile"
"""A file on disk, or one that hosts share in a database."""

DAMAGE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""The errors of reading a damaged file: it is not JSON, or JSON of something else."""


def reason_of(error: Exception) -> str:
    """Returns the reason of such an error, in one line."""
    return f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())


class LineLog(Generic[Line]):
    """A JSON Lines file of one run, to which several threads and processes may append.

    A line is on disk once `append` returns. A last line that was torn by a kill counts as never written. The first line
    is the run's fingerprint, so that two runs never mix.

    Args:
        path: The file; it is created if it does not exist.
        fingerprint: All that decides what is written.
        read: Parses the JSON of a line; it may raise what `DAMAGE` names.
        kind: What a line is, for errors.

    Attributes:
        lines: The lines that the file had when it was opened.

    Raises:
        RunError: The file belongs to another run, is damaged, or cannot be written.
    """

    def __init__(
        self,
        path: AnyFile,
        fingerprint: Mapping[str, Any],
        read: Callable[[Any], Line] = lambda value: value,
        kind: str = "line of this run",
    ) -> None:
        self._path = path
        self._read = read
        self._kind = kind
        self._lines = SharedLines(path, self._line) if isinstance(path, Path) else path.lines(self._line)
        self._elsewhere = "another folder" if isinstance(path, Path) else "another database"
        self._fingerprint = json.loads(json_line(fingerprint))
        with self._exclusive():
            self.lines = self._new_lines()
            if self._lines.count == 0:
                self._lines.append(json_line({"fingerprint": fingerprint}))

    def append(self, value: Any) -> None:
        """Appends a line and waits until it is on disk.

        Raises:
            RunError: It cannot be written; the earlier lines are not affected.
        """
        with self._exclusive():
            self._lines.append(json_line(value))

    def exchange(self, value: Any) -> list[Line]:
        """Appends a line as `append` does, and returns what `new_lines` then would, this line at the end.

        Raises:
            RunError: It cannot be written, or another line is damaged.
        """
        with self._exclusive():
            self._lines.append(json_line(value))
            return self._new_lines()

    def new_lines(self) -> list[Line]:
        """Returns the lines added since the last call, by this object or another process.

        Raises:
            RunError: A line is damaged, or the file cannot be read.
        """
        with self._exclusive():
            return self._new_lines()

    def _new_lines(self) -> list[Line]:
        return [line for lines in self._lines.new_lines() for line in lines]

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with writing(self._path), self._lines.exclusive():
            yield

    def _line(self, number: int, content: bytes) -> list[Line]:
        """Returns a parsed line, or no line for the first one, which is the fingerprint."""
        if number == 1:
            self._refuse_another(parsed_line(self._path, 1, content))
            return []
        value = parsed_line(self._path, number, content)
        try:
            return [self._read(value)]
        except DAMAGE as error:
            raise RunError(
                f"line {number} of {self._path} holds something that is no {self._kind} ({reason_of(error)}): "
                f"choose {self._elsewhere}, or restore or delete that line"
            ) from error

    def _refuse_another(self, first: Any) -> None:
        found = first.get("fingerprint") if isinstance(first, dict) else None
        if not isinstance(found, dict):
            raise RunError(
                f"line 1 of {self._path} does not say which run it is of: move it away or choose {self._elsewhere}"
            )
        here = self._fingerprint
        for key in dict.fromkeys([*here, *found]):
            if found.get(key) != here.get(key):
                there, now = (json.dumps(run.get(key)) for run in (found, here))
                raise RunError(
                    f"{self._path} is of another run: its {key} is {there}, not {now}; choose {self._elsewhere}"
                )


def as_json(value: Any) -> Any:
    """Returns a value in the types of JSON; what JSON cannot hold becomes its `str`, and NaN null."""
    return to_jsonable_python(value, inf_nan_mode="null", bytes_mode="base64", fallback=str)


def json_line(value: Any) -> str:
    """Returns a value as one line of JSON; see `as_json`."""
    return json.dumps(as_json(value), ensure_ascii=False, allow_nan=False) + "\n"


def content_hash(value: Any) -> str:
    """Returns a short hash of a value's content, whatever the order of a mapping's keys or a set's members."""
    content = json.dumps(json.loads(json_line(_ordered(value))), sort_keys=True)
    return hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:16]


def _ordered(value: Any) -> Any:
    """Returns a value with sorted lists for sets; a set of strings has another order in each process."""
    if isinstance(value, Mapping):
        return {key: _ordered(part) for key, part in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(map(_ordered, value), key=json_line)
    return [_ordered(part) for part in value] if isinstance(value, (list, tuple)) else value


def write_lines(path: Path, values: Iterable[Any]) -> None:
    """Writes a JSON Lines file atomically.

    Raises:
        RunError: It cannot be written.
    """
    write_text(path, "".join(map(json_line, values)))


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file atomically.

    Raises:
        RunError: It cannot be written.
    """
    write_text(path, json.dumps(json.loads(json_line(value)), ensure_ascii=False, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically.

    Raises:
        RunError: It cannot be written.
    """
    partial = partial_path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(text.encode("utf-8", "replace"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)


def parsed_line(path: AnyFile, number: int, content: bytes) -> Any:
    """Parses a line of JSON.

    Args:
        path: The file, for the error.
        number: The line's number, for the error.
        content: The line.

    Raises:
        RunError: It is not JSON.
    """
    try:
        return json.loads(content)
    except DAMAGE as error:
        message = f"line {number} of {path} is damaged ({reason_of(error)}): restore or delete that line"
        raise RunError(message) from error


def read_json(path: Path) -> dict[str, Any]:
    """Reads a file that holds one JSON object.

    Raises:
        RunError: The file cannot be read, or holds something else; the message says where.
    """
    with reading(path):
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
        return content


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns the errors of reading and parsing a file into a `RunError`.

    Raises:
        RunError: The file cannot be read, or is damaged.
    """
    try:
        yield
    except OSError as error:
        raise RunError(f"cannot read {path} ({error.strerror or error}): check the path, or make it again") from error
    except DAMAGE as error:
        raise RunError(f"{path} is damaged ({reason_of(error)}): restore it or make it again") from error


@contextmanager
def writing(path: AnyFile) -> Iterator[None]:
    """Turns the operating system's errors of writing a file into a `RunError`."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another folder"
        ) from error
