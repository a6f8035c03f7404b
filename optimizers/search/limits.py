"""The limits of a compile."""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Real

from anytime_dspy.checkpoint import Usage
from anytime_dspy.errors import AnytimeError

__all__ = ["Limits"]


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
            if value is not None and (not isinstance(value, Real) or not float(value) > 0):
                raise AnytimeError(f"the limit of {field.name} must be above 0, got {value!r}")

    def reached(self, spent: Usage, seconds: float) -> str | None:
        """Returns the name of a limit that is reached, or None.

        Args:
            spent: The usage of the whole compile.
            seconds: Wall time since its start.
        """
        now = {"calls": spent.calls, "tokens": spent.tokens, "dollars": spent.dollars or 0.0, "seconds": seconds}
        limits = {name: getattr(self, name) for name in now}
        return next((name for name, limit in limits.items() if limit is not None and now[name] >= limit), None)
