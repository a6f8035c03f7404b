"""The limits of a compile, and the progress of its race."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from anytime_dspy.checkpoint import Usage
from anytime_dspy.errors import AnytimeError

__all__ = ["Limits", "OnTrial", "Progress"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a compile may spend before its search stops; None means no limit.

    Sampling, judging and search count together, but only the search is stopped, between two trials. A resumed compile
    counts what it spent before, except for wall time.

    Attributes:
        calls: LM calls.
        tokens: Prompt and generated tokens.
        dollars: The price, if the LM has one.
        seconds: Wall time of this process.

    Example:
        >>> Limits(calls=10).reached(Usage(calls=10), seconds=0.0)
        'calls'
    """

    calls: int | None = None
    tokens: int | None = None
    dollars: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value > 0:
                raise AnytimeError(f"the limit of {field.name} must be above 0, got {value}")

    def reached(self, spent: Usage, seconds: float) -> str | None:
        """Returns the name of a limit that is reached, or None.

        Args:
            spent: The usage of the whole compile.
            seconds: Wall time since its start.
        """
        now = {"calls": spent.calls, "tokens": spent.tokens, "dollars": spent.dollars or 0.0, "seconds": seconds}
        limits = {name: getattr(self, name) for name in now}
        return next((name for name, limit in limits.items() if limit is not None and now[name] >= limit), None)


@dataclass(frozen=True)
class Progress:
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


OnTrial = Callable[[Progress], None]
"""Called in the caller's thread after each trial."""
