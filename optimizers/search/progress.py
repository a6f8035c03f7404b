"""The progress of a race."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from anytime_dspy.checkpoint import Usage

__all__ = ["OnTrial", "RaceProgress"]


@dataclass(frozen=True)
class RaceProgress:
    """The progress of a race after a trial, which is one candidate in one heat.

    Attributes:
        round: The round of sampling, judging and racing, from 0.
        heat: The current heat, from 0.
        heats: The number of heats.
        remaining: The number of candidates still in the race, without the student.
        trials: The number of finished trials, of those needed to complete this heat.
        of: The number of trials needed to complete this heat.
        leader: A short description of the best candidate so far; None before one is known.
        gain: Its estimated gain over the student.
        interval: The 95% interval of that gain.
        spent: The usage of the whole compile.
        seconds_left: An estimate from this process's trials; None before the first.
    """

    round: int
    heat: int
    heats: int
    remaining: int
    trials: int
    of: int
    leader: str | None
    gain: float | None
    interval: tuple[float, float] | None
    spent: Usage
    seconds_left: float | None


OnTrial = Callable[[RaceProgress], None]
"""Called in the caller's thread after each trial."""
