"""JSON and JSON Lines files, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock
from pydantic_core import to_jsonable_python

from anytime_dspy.errors import RunError

__all__ = ["LineLog", "append_line", "as_line", "content_hash", "mend", "write_json", "write_lines", "write_text"]

logger = logging.getLogger(__name__)


class LineLog:
    """A JSON Lines file that grows by a line at a time; whoever opens it again goes on with it.

    A line is on disk once `append` returns. A last line that was torn by a kill counts as never written. The first line
    says what the others belong to, so that two runs never mix. Several threads and processes may use it together.

    Args:
        path: The file; it is made where it is not there.
        fingerprint: All that decides what is written.

    Attributes:
        lines: What was there when it was opened.

    Raises:
        RunError: The file belongs to another run, is damaged, or cannot be written.
    """

    def __init__(self, path: Path, fingerprint: Mapping[str, Any]) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._read = _Read()
        wanted = json.loads(as_line({"fingerprint": fingerprint}))
        with self._alone():
            mend(path)
            first, *self.lines = self._unread() or [wanted]
            self._refuse_another(first, wanted)
            if path.stat().st_size == 0:
                append_line(path, as_line(wanted))
                self._unread()

    def append(self, value: Any) -> None:
        """Adds a line and waits until it is on disk.

        Raises:
            RunError: It cannot be written; what was there stays whole.
        """
        with self._alone():
            append_line(self._path, as_line(value))

    def news(self) -> list[Any]:
        """Returns the lines that were added since lines were last read, here or by another process.

        Raises:
            RunError: A line is damaged, or the file cannot be read.
        """
        with self._alone():
            return self._unread()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock, _disk(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._path.with_name(f".{self._path.name}.lock")):
                yield

    def _unread(self) -> list[Any]:
        with self._path.open("rb") as file:
            file.seek(self._read.bytes)
            content = file.read()
        numbered = enumerate(content.splitlines(), start=self._read.lines + 1)
        found = [_parsed(self._path, number, line) for number, line in numbered]
        self._read = _Read(self._read.bytes + len(content), self._read.lines + len(found))
        return found

    def _refuse_another(self, first: Any, wanted: dict[str, Any]) -> None:
        found = first.get("fingerprint") if isinstance(first, dict) else None
        if not isinstance(found, dict):
            raise RunError(f"{self._path} does not say which run it is of: move it away or choose another folder")
        here = wanted["fingerprint"]
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
    """Returns a short hash of a value's content; the order of a mapping's keys is no part of it."""
    content = json.dumps(json.loads(as_line(value)), sort_keys=True)
    return hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:16]


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
    partial = path.with_name(f".{path.name}.part")
    with _disk(path):
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


class _Read(NamedTuple):
    """How much of a file was read."""

    bytes: int = 0
    lines: int = 0


def mend(path: Path) -> None:
    """Takes off a last line that a kill tore; makes the file where it is not there.

    Nobody else may be writing to it.

    Raises:
        OSError: It cannot be read or written.
    """
    path.touch()
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        logger.warning("The last line of %s was cut off while it was written: it is done again", path)
        os.truncate(path, whole)


def _parsed(path: Path, number: int, line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise RunError(f"line {number} of {path} is damaged ({error}): restore or delete that line") from error


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another folder"
        ) from error
