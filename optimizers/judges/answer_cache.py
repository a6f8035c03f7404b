"""Judges' answers, kept on disk: a compile that was killed and started again pays for none of them twice."""

from __future__ import annotations

from anytime_dspy.storage.jsonl import AnyFile
from anytime_dspy.storage.key_value import KeyValueFile

__all__ = ["AnswerCache"]


class AnswerCache(KeyValueFile):
    """A judge's answers by what it was asked.

    Args:
        path: A JSON Lines file; it is created if it does not exist. None keeps the answers in memory only.

    Raises:
        RunError: The file holds something else, is damaged, or cannot be written.
    """

    def __init__(self, path: AnyFile | None = None) -> None:
        super().__init__(path, {"kept": "answers"}, "answer", "answer")
