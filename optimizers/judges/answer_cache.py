"""Answers that were paid for, kept on disk: a run that was killed and is started again does not ask twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from anytime_dspy.errors import RunError
from anytime_dspy.storage.jsonl import LineLog, content_hash, json_line, reason_of

__all__ = ["Memo"]

T = TypeVar("T")


class Memo:
    """Answers by what was asked, in a JSON Lines file; threads and processes may share it.

    Args:
        path: The file, made where it is not there; None keeps the answers in memory alone.

    Raises:
        RunError: The file holds something else, or cannot be written.

    Example:
        >>> memo = Memo()
        >>> memo.recall({"say": "A or B"}, str, lambda: "A"), memo.recall({"say": "A or B"}, str, lambda: "B")
        ('A', 'A')
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._log = LineLog(path, {"kept": "answers"}, _answer_from, "answer") if path else None
        self._kept: dict[str, Any] = dict(self._log.lines) if self._log else {}

    def recall(self, asked: Any, kind: type[T], make: Callable[[], T]) -> T:
        """Returns the answer to what was asked, made and kept where there is none yet.

        Args:
            asked: All that the answer depends on; anything that JSON can hold.
            kind: What an answer is, for reading it back: a dataclass or a plain type.
            make: Gets the answer. What it raises is raised, and nothing is kept.

        Raises:
            RunError: What is kept is no such answer, or the answer cannot be kept.
        """
        key = content_hash(asked)
        if key in self._kept:
            try:
                return TypeAdapter(kind).validate_python(self._kept[key])
            except ValidationError as error:
                raise RunError(
                    f'the answer with the key "{key}" in {self._path} is damaged ({reason_of(error)}): delete that line'
                ) from error
        answer = make()
        self._kept[key] = json.loads(json_line(answer))
        if self._log:
            self._log.append({"key": key, "answer": answer})
        return answer


def _answer_from(line: Any) -> tuple[str, Any]:
    return line["key"], line["answer"]
