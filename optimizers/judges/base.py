"""The interface of judges, and the choice of the most reliable one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from anytime_dspy.checkpoint import Usage
from anytime_dspy.errors import AnytimeError
from anytime_dspy.optimizers.failures import Failures
from anytime_dspy.optimizers.traces.trace import TraceGroup

__all__ = ["RELIABLE", "Choice", "GroupScores", "Judge", "Judgement", "Orders", "Reliability", "choose_judge"]

logger = logging.getLogger(__name__)

RELIABLE = 0.3
"""The lowest reliability that "auto" accepts. With 12 examples of 6 samples, random answers out of four pass it one
time in fifteen, random verdicts one time in nine."""

GroupScores = tuple[tuple["float | None", ...], ...]
"""Scores in [0, 1] of each trace of an example at each checkpoint; None if the judge cannot decide."""


@dataclass(frozen=True)
class Reliability:
    """How consistent a judge is, measured without labels.

    Attributes:
        judge: The judge's name.
        value: Agreement beyond chance, in [0, 1].
        measured: How it was measured, as a clause.
        usage: The cost of measuring it.
    """

    judge: str
    value: float
    measured: str
    usage: Usage = field(default_factory=Usage)

    @property
    def holds(self) -> bool:
        """Whether the judge is reliable enough."""
        return self.value >= RELIABLE


@dataclass(frozen=True)
class Orders:
    """Statistics of a judge that compares each pair of answers in both orders.

    Attributes:
        pairs: The number of pairs, with two requested verdicts each.
        given: The pairs with two verdicts.
        same: The pairs in which the same answer won in both orders; every other pair is a tie.
        verdicts: The number of verdicts that were given.
        first: The verdicts for the answer in first position.

    Example:
        >>> always_first = Orders(pairs=4, given=4, same=0, verdicts=8, first=8)
        >>> always_first.consistency, always_first.tie_rate, always_first.position_bias
        (0.0, 1.0, 1.0)
    """

    pairs: int
    given: int
    same: int
    verdicts: int
    first: int

    @property
    def consistency(self) -> float | None:
        """The share of pairs with two verdicts in which both name the same answer; None without such pairs."""
        return self.same / self.given if self.given else None

    @property
    def tie_rate(self) -> float | None:
        """The share of pairs that are a tie; None without pairs."""
        return 1 - self.same / self.pairs if self.pairs else None

    @property
    def position_bias(self) -> float | None:
        """The share of verdicts for the first position, 1/2 if position does not matter; None without verdicts."""
        return self.first / self.verdicts if self.verdicts else None


@dataclass(frozen=True)
class Judgement:
    """The scores of a judge.

    Attributes:
        judge: The judge's name.
        scores: One entry per group, in the order of the groups.
        usage: The cost of judging these groups, measuring reliability included.
        orders: For a judge that compares two answers, the statistics of both orders.
        labelled: Whether the judge used labels.
        by_votes: Whether the scores are shares of votes, so that a score also shows how clear it is.
        failures: The judge's LM requests that failed.
    """

    judge: str
    scores: tuple[GroupScores, ...]
    usage: Usage = field(default_factory=Usage)
    orders: Orders | None = None
    labelled: bool = False
    by_votes: bool = False
    failures: Failures = field(default_factory=Failures)


class Judge(Protocol):
    """Scores the traces of an example against each other, without labels."""

    @property
    def name(self) -> str:
        """Its name in reports."""

    def reliability(self, groups: Sequence[TraceGroup]) -> Reliability:
        """Measures how consistent the judge is on these traces."""

    def scores(self, groups: Sequence[TraceGroup]) -> Judgement:
        """Scores every trace at every checkpoint."""


@dataclass(frozen=True)
class Choice:
    """The chosen judge, and the reason.

    Attributes:
        judge: The judge.
        measured: The reliability of every judge that was considered.
        reason: The reason, in one line.
    """

    judge: Judge
    measured: tuple[Reliability, ...]
    reason: str


def choose_judge(judges: Sequence[Judge], groups: Sequence[TraceGroup]) -> Choice:
    """Returns the most reliable judge on these traces; among equals the first.

    Args:
        judges: The judges to consider, at least one. A single judge is used even if it is unreliable; this is logged.
        groups: The traces.

    Raises:
        AnytimeError: There are several judges, and none is reliable.
    """
    measured = tuple(judge.reliability(groups) for judge in judges)
    found = "; ".join(f"{one.judge} {one.value:.2f} ({one.measured})" for one in measured)
    if len(judges) == 1:
        if not measured[0].holds:
            logger.warning("The judge %s is hardly reliable here: %s", judges[0].name, measured[0].measured)
        return Choice(judges[0], measured, f"it was asked for: {found}")
    best = max(range(len(judges)), key=lambda place: measured[place].value)
    if not measured[best].holds:
        raise AnytimeError(
            f"no judge of the program's own traces is reliable, {RELIABLE} is needed: {found}. Take more samples or "
            "training examples, a stronger LM, or name the judge yourself with judge=..."
        )
    reason = f"the most reliable of {len(judges)} judges is {judges[best].name}: {found}"
    logger.info("Self-judging: %s", reason)
    return Choice(judges[best], measured, reason)
