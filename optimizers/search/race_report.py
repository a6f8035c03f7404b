"""The result of a race: how each candidate did, and which one is returned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from anytime_dspy.checkpoint import Usage
from anytime_dspy.optimizers.search.effects import Gain
from anytime_dspy.optimizers.search.trials import SURE

__all__ = ["STUDENT", "RaceReport", "Standing"]

STUDENT = 0
"""The student's number among the candidates."""


@dataclass(frozen=True)
class Standing:
    """One candidate at the end of a race.

    Attributes:
        number: Its number, from 0, which is the student.
        kind: A short description.
        scores: Its Anytime Index on each example that it ran, by the example's position in the race.
        heats: The number of heats that it ran.
        state: "finished" if it ran to the end, "left" if it was eliminated after a heat, "failed" if the LM failed.
        raw: The mean difference to the student's scores on the same examples; None for the student.
        gain: The estimate of its gain, shrunk towards what its parts did elsewhere.
        prompt_tokens: Mean prompt tokens per example at the largest budget.
        usage: Its cost.
        error: The LM's error, if it failed.
    """

    number: int
    kind: str
    scores: dict[int, float]
    heats: int
    state: Literal["finished", "left", "failed"]
    raw: float | None
    gain: Gain
    prompt_tokens: float
    usage: Usage
    error: str | None = None

    @property
    def score(self) -> float | None:
        """The mean of its scores; None without any."""
        return sum(self.scores.values()) / len(self.scores) if self.scores else None


@dataclass(frozen=True)
class RaceReport:
    """The result of a race.

    Attributes:
        standings: The standing of each candidate, by number.
        winner: The number of the candidate that is returned; 0 is the student.
        leader: The number of the best candidate, whether or not its gain is sure; 0 if there was no other candidate.
        heats: The number of examples run by the end of each heat.
        needed: The number of examples after which a gain like the leader's would be sure; None if it has no gain.
        stopped: The name of the limit that stopped the race; None if none did.
        level: Whether it stopped because all candidates scored the same on every example.
        sure: The probability of a gain from which on a candidate is returned.
    """

    standings: tuple[Standing, ...]
    winner: int
    leader: int
    heats: tuple[int, ...]
    needed: int | None
    stopped: str | None = None
    level: bool = False
    sure: float = SURE

    @property
    def student(self) -> Standing:
        """The student's standing."""
        return self.standings[STUDENT]

    @property
    def usage(self) -> Usage:
        """The cost of all candidates."""
        return sum((one.usage for one in self.standings), Usage())
