"""On-disk cache of judge answers; a restarted compile repeats no paid call."""

from __future__ import annotations

from anytime_dspy.storage.jsonl import AnyFile
from anytime_dspy.storage.key_value import KeyValueFile

__all__ = ["AnswerCache"]


class AnswerCache(KeyValueFile):
    """Answers of judges, by question.

    Args:
        path: A JSON Lines file; it is created if it does not exist. None caches in memory only.

    Raises:
        RunError: The file holds something else, is damaged, or cannot be written.
    """

    def __init__(self, path: AnyFile | None = None) -> None:
        super().__init__(path, {"kept": "answers"}, "answer", "answer")
