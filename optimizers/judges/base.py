"""Judges: what a program's own LM says about its traces, without labels, and how far that can be trusted."""

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
"""The least reliability that `auto` accepts. With 12 examples of 6 samples, answers guessed among four pass it once in
fifteen times, verdicts tossed by a coin once in nine."""

GroupScores = tuple[tuple["float | None", ...], ...]
"""For the traces of one example, a score in [0, 1] at each checkpoint; None where the judge cannot decide."""


@dataclass(frozen=True)
class Reliability:
    """How well a judge repeats itself, measured without labels.

    Attributes:
        judge: The judge's name.
        value: Agreement beyond chance, in [0, 1].
        measured: How it was measured and on what, as a clause.
        usage: What measuring it cost.
    """

    judge: str
    value: float
    measured: str
    usage: Usage = field(default_factory=Usage)

    @property
    def holds(self) -> bool:
        """Whether the judge may be used."""
        return self.value >= RELIABLE


@dataclass(frozen=True)
class Orders:
    """How a judge that compares two answers fared when it was asked about each pair in both orders.

    Attributes:
        pairs: Pairs that were asked about, two verdicts each.
        given: Those of them where both verdicts could be had.
        same: Those of these where the same answer won in both orders; every other pair is a tie.
        verdicts: Verdicts that could be had.
        first: Verdicts for the answer that stood first.

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
        """The share of pairs with two verdicts in which both name the same answer; None where there was none."""
        return self.same / self.given if self.given else None

    @property
    def tie_rate(self) -> float | None:
        """The share of pairs that were left a tie; None where none was asked about."""
        return 1 - self.same / self.pairs if self.pairs else None

    @property
    def position_bias(self) -> float | None:
        """The share of verdicts for the first position, 1/2 where the place does not matter; None without verdicts."""
        return self.first / self.verdicts if self.verdicts else None


@dataclass(frozen=True)
class Judgement:
    """What a judge says.

    Attributes:
        judge: The judge's name.
        scores: One entry a group, in the groups' order.
        usage: All that the judge asked about these groups cost, its questions for their reliability included.
        orders: Of a judge that compares two answers, how its verdicts fared in both orders.
        labelled: Whether the judge looked at labels.
        by_votes: Whether its scores are shares of votes: then a score says too how sure it is.
        failures: Of the questions that the judge asked an LM, those that failed.
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
        """What reports call it."""

    def reliability(self, groups: Sequence[TraceGroup]) -> Reliability:
        """Measures, on these very traces, how well the judge repeats itself."""

    def scores(self, groups: Sequence[TraceGroup]) -> Judgement:
        """Scores every trace at every checkpoint."""


@dataclass(frozen=True)
class Choice:
    """The judge that is used, and why.

    Attributes:
        judge: The judge.
        measured: The reliability of every judge that was considered.
        reason: One line.
    """

    judge: Judge
    measured: tuple[Reliability, ...]
    reason: str


def choose_judge(judges: Sequence[Judge], groups: Sequence[TraceGroup]) -> Choice:
    """Takes the one judge that was asked for, or of several the most reliable on these traces, the first of equals.

    Args:
        judges: Whom to consider, at least one. A single one is taken however reliable it is, and its reliability said.
        groups: The traces.

    Raises:
        AnytimeError: Of several none is reliable.
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
