"""LM requests that failed: they are counted and logged, and never mistaken for an empty answer."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from anytime_dspy.errors import AnytimeError

__all__ = ["Failures", "failures_of", "one_line"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failures:
    """The failures among a number of LM requests.

    Attributes:
        asked: The number of requests.
        errors: The error of each request that failed.

    Example:
        >>> Failures(3, ("overloaded",)).all_of_them
        False
    """

    asked: int = 0
    errors: tuple[str, ...] = ()

    @property
    def all_of_them(self) -> bool:
        """Whether there were requests, and none was answered."""
        return bool(self.errors) and len(self.errors) == self.asked

    def summary(self, questions: str) -> str:
        """Returns, for messages, that all requests failed, and the first error."""
        return f"all {self.asked} {questions} failed, the first with: {self.errors[0]}"

    def tell(self, questions: str) -> None:
        """Logs a warning if there are failures.

        Args:
            questions: The requests, as "questions about mistakes".
        """
        if self.errors:
            failed = len(self.errors)
            logger.warning("%d of %d %s failed, the first with: %s", failed, self.asked, questions, self.errors[0])

    def refuse(self, questions: str, way_out: str = "") -> None:
        """Logs a warning if there are failures, and raises if every request failed.

        Args:
            questions: The requests, as "questions about mistakes".
            way_out: A remedy besides fixing the LM, as ", or ...".

        Raises:
            AnytimeError: All of them failed.
        """
        self.tell(questions)
        if self.all_of_them:
            raise AnytimeError(f"{self.summary(questions)}: fix the LM{way_out}, and compile again")


def one_line(error: Exception) -> str:
    """Returns an error in one line: its type and the first line of its message."""
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}".rstrip(": ")


def failures_of(errors: Iterable[str | None]) -> Failures:
    """Returns the failures among requests, given the error of each; None stands for a request that was answered."""
    told = tuple(errors)
    return Failures(len(told), tuple(error for error in told if error is not None))
