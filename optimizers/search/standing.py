"""What a race comes to: how each candidate stands, and which one is returned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from anytime_dspy.checkpoint import Usage
from anytime_dspy.optimizers.search.effects import Gain

__all__ = ["STUDENT", "RaceReport", "Standing"]

STUDENT = 0
"""The student's number among the candidates."""


@dataclass(frozen=True)
class Standing:
    """One candidate at the end of a race.

    Attributes:
        number: From 0, which is the student.
        kind: What it is, in a few words.
        scores: Its Anytime Index on each example that it ran, by the example's place in the race's order.
        heats: Heats that it ran.
        state: "finished" if it ran to the end, "left" if it was not among the best of a heat, "failed" if the LM did.
        raw: The mean of its scores less the student's on the same examples; None for the student.
        gain: What is believed of its gain, shrunk towards what its parts did elsewhere.
        prompt_tokens: Sent for an example at the largest budget, in the mean.
        usage: What it cost.
        error: What the LM's failure was.
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
        """The mean of its scores; None where there are none."""
        return sum(self.scores.values()) / len(self.scores) if self.scores else None


@dataclass(frozen=True)
class RaceReport:
    """What a race came to.

    Attributes:
        standings: Of each candidate, by their numbers.
        winner: The number of the one that is returned, 0 for the student.
        leader: The number of the best one, be it sure or not; 0 where there was no other.
        heats: How many examples had been run by the end of each heat.
        needed: Examples after which a gain as large as the leader's would be sure; None where it has none.
        stopped: The limit that stopped the race, None where none did.
        level: Whether it was stopped because all candidates scored the same on every example.
    """

    standings: tuple[Standing, ...]
    winner: int
    leader: int
    heats: tuple[int, ...]
    needed: int | None
    stopped: str | None = None
    level: bool = False

    @property
    def student(self) -> Standing:
        """The student's standing."""
        return self.standings[STUDENT]

    @property
    def usage(self) -> Usage:
        """What all candidates cost together."""
        return sum((one.usage for one in self.standings), Usage())
