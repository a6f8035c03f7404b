"""JSON and JSON Lines files, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from anytime_dspy.errors import RunError

__all__ = ["LineLog", "as_line", "write_json", "write_lines"]


class LineLog:
    """A JSON Lines file that is begun anew and then grows by a line at a time.

    Raises:
        RunError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        write_lines(path, ())

    def append(self, value: Any) -> None:
        """Adds a line; it is handed to the operating system when this returns."""
        with _disk(self._path), self._path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(as_line(value))


def as_line(value: Any) -> str:
    """Returns a value as one line of JSON; what JSON cannot hold becomes its `str`, a NaN null."""
    plain = to_jsonable_python(value, inf_nan_mode="null", bytes_mode="base64", fallback=str)
    return json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n"


def write_lines(path: Path, values: Iterable[Any]) -> None:
    """Writes a JSON Lines file as a whole, or not at all.

    Raises:
        RunError: It cannot be written.
    """
    _write(path, "".join(map(as_line, values)))


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file as a whole, or not at all.

    Raises:
        RunError: It cannot be written.
    """
    _write(path, json.dumps(json.loads(as_line(value)), ensure_ascii=False, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.part")
    with _disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8", errors="replace")
        os.replace(partial, path)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another folder"
        ) from error
