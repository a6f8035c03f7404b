"""Values by key, kept on disk as they come: what a killed run has paid for is not paid again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from anytime_dspy.errors import RunError
from anytime_dspy.storage.jsonl import AnyFile, LineLog, content_hash, json_line, reason_of

__all__ = ["KeyValueFile"]

T = TypeVar("T")


class KeyValueFile:
    """A JSON Lines file of keys and values; several threads and processes may share it. The first value of a key stays.

    Args:
        path: The file; it is created if it does not exist. None keeps the values in memory only.
        fingerprint: The file's first line, which says what the values are.
        name: The key of the value in a line.
        kind: What an entry is, for errors.

    Raises:
        RunError: The file holds something else, is damaged, or cannot be written.

    Example:
        >>> kept = KeyValueFile(None, {"kept": "answers"}, "answer", "answer")
        >>> kept.recall({"say": "A or B"}, str, lambda: "A"), kept.recall({"say": "A or B"}, str, lambda: "B")
        ('A', 'A')
    """

    def __init__(self, path: AnyFile | None, fingerprint: Mapping[str, Any], name: str, kind: str) -> None:
        self._path = path
        self._name = name
        self._kind = kind
        self._log = LineLog(path, fingerprint, lambda line: (line["key"], line[name]), kind) if path else None
        self._values: dict[str, Any] = dict(reversed(self._log.lines)) if self._log else {}

    def get(self, key: str, kind: type[T]) -> T | None:
        """Returns the value of a key, another process's too; None if there is none.

        Args:
            key: The key.
            kind: The value's type, a dataclass or a plain type, by which it is read back from JSON.

        Raises:
            RunError: The stored value is of another type.
        """
        if key not in self._values and self._log:
            self._learn(self._log.new_lines())
        if key not in self._values:
            return None
        try:
            return TypeAdapter(kind).validate_python(self._values[key])
        except ValidationError as error:
            why = reason_of(error)
            raise RunError(f'the {self._kind} "{key}" in {self._path} is damaged ({why}): delete that line') from error

    def add(self, key: str, value: Any) -> bool:
        """Stores a value and waits until it is on disk; returns whether it is the one that stays.

        Raises:
            RunError: It cannot be written, or a line of another process is damaged.
        """
        if self._log:
            self._learn(self._log.exchange({"key": key, self._name: value}))
        kept = json.loads(json_line(value))
        return bool(self._values.setdefault(key, kept) == kept)

    def recall(self, asked: Any, kind: type[T], make: Callable[[], T]) -> T:
        """Returns the stored value for `asked`, or makes and stores it.

        Args:
            asked: All that the value depends on, as far as JSON can hold it.
            kind: As for `get`.
            make: Makes the value. If it raises, nothing is stored.

        Raises:
            RunError: The stored value is of another type, or the new one cannot be written.
        """
        key = content_hash(asked)
        value = self.get(key, kind)
        if value is None:
            value = make()
            if not self.add(key, value):  # another process was quicker, and all go on with the same one
                value = self.get(key, kind) or value
        return value

    def _learn(self, lines: Iterable[tuple[str, Any]]) -> None:
        for found, other in lines:
            self._values.setdefault(found, other)
