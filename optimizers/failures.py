"""Questions to an LM that failed: they are told, with their count, and never taken for an answer of nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from anytime_dspy.errors import AnytimeError

__all__ = ["Failures", "failures_of", "reason_of"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Failures:
    """Of some questions, those that failed.

    Attributes:
        asked: How many were asked.
        errors: What each one that failed raised.

    Example:
        >>> Failures(3, ("overloaded",)).all_of_them
        False
    """

    asked: int = 0
    errors: tuple[str, ...] = ()

    @property
    def all_of_them(self) -> bool:
        """Whether nothing was answered, though something was asked."""
        return bool(self.errors) and len(self.errors) == self.asked

    def tell(self, questions: str) -> None:
        """Warns of the failures, if there are any.

        Args:
            questions: What was asked, as "questions about mistakes".
        """
        if self.errors:
            logger.warning("%d of %d %s failed, the first with: %s", *self._counts, questions, self.errors[0])

    def refuse(self, questions: str, way_out: str = "") -> None:
        """Warns of the failures, and does not let it pass where every question failed.

        Args:
            questions: What was asked, as "questions about mistakes".
            way_out: What helps beside mending the LM, as ", or ...".

        Raises:
            AnytimeError: All of them failed.
        """
        self.tell(questions)
        if self.all_of_them:
            raise AnytimeError(
                f"all {self.asked} {questions} failed, the first with: {self.errors[0]}. Mend the LM{way_out}, and "
                "compile again"
            )

    @property
    def _counts(self) -> tuple[int, int]:
        return len(self.errors), self.asked


def reason_of(error: Exception) -> str:
    """Returns an error on one line: its kind, and the first line of what it says."""
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}".rstrip(": ")


def failures_of(errors: Iterable[str | None]) -> Failures:
    """Returns the failures of questions, each given as its error, None where it was answered."""
    told = tuple(errors)
    return Failures(len(told), tuple(error for error in told if error is not None))
