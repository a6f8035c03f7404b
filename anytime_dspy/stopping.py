"""The stopping rule of streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from anytime_dspy.answers import answer_text, key_at
from anytime_dspy.budgets import whole_number
from anytime_dspy.checkpoint import Checkpoint
from anytime_dspy.errors import BudgetError

__all__ = ["Converged", "check_stop"]


@dataclass(frozen=True)
class Converged:
    """A stopping rule: ends a run when its answer is the same at several successive checkpoints.

    Answers are compared by `anytime_dspy.answers.answer_text`, which ignores case, white space and the reasoning. A
    checkpoint without an answer equals no other.

    Attributes:
        patience: Successive checkpoints that must agree, at least 2.

    Raises:
        BudgetError: `patience` is no integer of at least 2.

    >>> Converged(patience=3).is_met(["5", "7", "7"])
    False
    """

    patience: int = 2

    def __post_init__(self) -> None:
        patience = whole_number(self.patience)
        if patience is None or patience < 2:
            raise BudgetError(f"patience must be a whole number of at least 2 checkpoints, got {self.patience!r}")
        object.__setattr__(self, "patience", patience)

    def is_met(self, answers: Sequence[str | None]) -> bool:
        """Whether to stop after these answers.

        Args:
            answers: One per checkpoint, in ascending order, in canonical form; None where there is none.
        """
        last = answers[-self.patience :]
        return len(last) == self.patience and last[0] is not None and len(set(last)) == 1

    def is_met_by(self, checkpoints: Sequence[Checkpoint]) -> bool:
        """Whether to stop after these checkpoints, in ascending order."""
        return self.is_met([key_at(checkpoint, answer_text) for checkpoint in checkpoints])


def check_stop(stop: object) -> Converged | None:
    """Returns `stop` if it is a stopping rule or None.

    Raises:
        BudgetError: It is something else.
    """
    if stop is None or isinstance(stop, Converged):
        return stop
    raise BudgetError(f"stop must be a stopping rule such as Converged(patience=2), not {stop!r}")
