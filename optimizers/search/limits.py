"""Where a search has to stop, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from anytime_dspy.checkpoint import Usage
from anytime_dspy.errors import AnytimeError

__all__ = ["Limits", "OnTrial", "Progress"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a compile may spend before its search stops; whatever is None is not limited.

    Sampling, judging and the search count together, but only the search is stopped: between two trials, or between two
    batches of examples. A compile that went on after a kill counts what it spent before, wall time aside.

    Attributes:
        calls: LM calls.
        tokens: Tokens sent and generated.
        dollars: Price, where the LM has one.
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
        """Returns the name of a limit that is reached, None where none is.

        Args:
            spent: By the whole compile.
            seconds: Wall time since it began.
        """
        now = {"calls": spent.calls, "tokens": spent.tokens, "dollars": spent.dollars or 0.0, "seconds": seconds}
        limits = {name: getattr(self, name) for name in now}
        return next((name for name, limit in limits.items() if limit is not None and now[name] >= limit), None)


@dataclass(frozen=True)
class Progress:
    """How far a race has come, as told after each trial: one candidate in one heat.

    Attributes:
        round: Of sampling, judging and racing, from 0.
        heat: The heat that is run, from 0.
        heats: How many there are.
        left: Candidates that are still in it, the student left out.
        trials: Trials that have ended of those that these candidates need up to the end of this heat.
        of: How many that are.
        leader: The best candidate so far, in a few words; None before one can be told.
        gain: What it is believed to gain over the student.
        interval: Within which that gain lies with a probability of 95%.
        spent: By the whole compile.
        seconds_left: An estimate from the trials that this process has done, None before the first.
    """

    round: int
    heat: int
    heats: int
    left: int
    trials: int
    of: int
    leader: str | None
    gain: float | None
    interval: tuple[float, float] | None
    spent: Usage
    seconds_left: float | None


OnTrial = Callable[[Progress], None]
"""Called in the caller's thread after each trial."""
