"""What a compile reports of itself."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dspy

from anytime_dspy.checkpoint import Usage
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.optimizers.judges.base import Reliability
from anytime_dspy.optimizers.judges.report import JudgeReport
from anytime_dspy.optimizers.pairs.pair import PreferencePair
from anytime_dspy.optimizers.pdp.rounds import Round
from anytime_dspy.optimizers.search.standing import RaceReport
from anytime_dspy.optimizers.search.verdict import verdict

__all__ = ["CompileReport", "GoldAgreement", "Searched", "gold_agreement", "searched"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GoldAgreement:
    """How often the self-judgement agreed with gold quality; reported only, it decides nothing.

    Attributes:
        pairs: Pairs whose gold quality could be told.
        agree: Of these, where the chosen trace is truly better.
        disagree: Where the rejected one is; in the rest both are as good.
    """

    pairs: int
    agree: int
    disagree: int


@dataclass(frozen=True)
class Searched:
    """What the races of all rounds found.

    Attributes:
        verdict: In one sentence: who is returned, its gain, how sure it is, what more examples would do.
        winner: What is returned, in a few words.
        student: The student's own index on the examples of the race.
        score: The returned program's: the student's, and the gain that is believed of it.
        gain: That gain, shrunk; 0 where the student is returned.
        raw: The gain as it was seen, of the best candidate; what it is above the held-out one is the search's optimism.
        leader: The gain that is believed of the best candidate, be it returned or not.
        interval: Within which that lies with a probability of 95%.
        chance: The probability that it is above zero.
        examples: That the student ran.
        candidates: That were run, the student included, in all rounds.
        stopped: The limit that stopped the search, None where none did.
        usage: What the races cost, and writing the instructions.
    """

    verdict: str
    winner: str
    student: float
    score: float
    gain: float
    raw: float | None
    leader: float
    interval: tuple[float, float]
    chance: float
    examples: int
    candidates: int
    stopped: str | None
    usage: Usage


@dataclass(frozen=True)
class CompileReport:
    """What compiling was, in the attribute `compile_report` of the compiled program.

    Attributes:
        judge: Who scored the traces of the first round.
        reason: Why this judge, in one line.
        reliability: Of every judge that was considered, the used one included.
        judged: How the judge fared: order consistency, ties, position bias, agreement with gold.
        traces: Traces that were sampled in the first round.
        failed: Runs of the student that gave none.
        pairs: Pairs of all examples and budgets.
        selected: The pairs that the program shows.
        squeezed: Traces of all rounds that were squeezed.
        synthesis: What sampling the traces of all rounds cost, and squeezing them.
        judging: What judging them cost, reliability included.
        gold: Agreement with gold over all pairs, None where there are no labels.
        gold_selected: The same over the selected pairs.
        search: What the search found; None for the fixed recipe.
        rounds: Each round, with the standing of every candidate.
    """

    judge: str
    reason: str
    reliability: tuple[Reliability, ...]
    judged: JudgeReport
    traces: int
    failed: int
    pairs: int
    selected: tuple[PreferencePair, ...]
    squeezed: int
    synthesis: Usage
    judging: Usage
    gold: GoldAgreement | None
    gold_selected: GoldAgreement | None
    search: Searched | None
    rounds: tuple[Round, ...]


def searched(races: Sequence[tuple[RaceReport, str]], usage: Usage) -> Searched:
    """Sums the races of all rounds up.

    Args:
        races: Each round's, with what its winner is; the last one that returned another program than the student
            decides.
        usage: What they cost.
    """
    race, winner = next((one for one in reversed(races) if one[0].winner), races[-1])
    leader = race.standings[race.leader]
    student = race.student.score or 0.0
    gain = leader.gain.mean if race.winner else 0.0
    return Searched(
        verdict=verdict(race),
        winner=winner,
        student=student,
        score=student + gain,
        gain=gain,
        raw=leader.raw,
        leader=leader.gain.mean,
        interval=leader.gain.interval,
        chance=leader.gain.chance,
        examples=len(race.student.scores),
        candidates=sum(len(one.standings) for one, _ in races),
        stopped=races[-1][0].stopped,
        usage=usage,
    )


def gold_agreement(
    pairs: Iterable[PreferencePair], trainset: Sequence[dspy.Example], metric: AnytimeIndex
) -> GoldAgreement | None:
    """Compares the judge's preferences with gold quality, where the examples have labels that it can be told by.

    Args:
        pairs: What to compare.
        trainset: The examples that the pairs are of.
        metric: Its `quality` scores both predictions of a pair.
    """
    gaps = [gap for gap in (_gold_gap(pair, trainset[pair.example_index], metric) for pair in pairs) if gap is not None]
    if not gaps:
        return None
    return GoldAgreement(len(gaps), sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps))


def _gold_gap(pair: PreferencePair, example: dspy.Example, metric: AnytimeIndex) -> float | None:
    if not example.labels().keys():
        return None
    try:
        better, worse = (
            metric.quality_of(example, dspy.Prediction(**side.outputs)) if side.answered else 0.0
            for side in (pair.chosen, pair.rejected)
        )
    except Exception as error:  # quality is anyone's code, and a report must not lose a compile that is paid for
        logger.debug("No gold quality for training example %d: %s", pair.example_index, error)
        return None
    return better - worse
