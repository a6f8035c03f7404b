"""How a judge did on the traces of one compile."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dspy

from anytime_dspy.checkpoint import Usage
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.optimizers.judges.base import Choice, Judgement, Orders, Reliability
from anytime_dspy.optimizers.traces.trace import TraceGroup

__all__ = ["GoldCheck", "JudgeReport", "gold_check", "gold_qualities", "judge_report"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GoldCheck:
    """How often a judge orders two traces as gold quality does; for reports only.

    Attributes:
        pairs: The number of pairs that were compared.
        agree: The pairs in which the trace that the judge prefers has the higher gold quality.
        disagree: The pairs in which it has the lower one. In the rest, the judge or gold quality sees no difference.
    """

    pairs: int
    agree: int
    disagree: int


@dataclass(frozen=True)
class JudgeReport:
    """The judge of a compile, its consistency, and its agreement with gold quality where there are labels.

    Attributes:
        judge: The judge's name.
        reason: Why this judge was used, in one line.
        labelled: Whether it used labels.
        reliability: The reliability of every judge that was considered, the used one included.
        orders: For a judge that compares two answers, the statistics of both orders.
        consistency: The share of pairs in which the same answer won in both orders.
        tie_rate: The share of pairs that are a tie.
        position_bias: The share of verdicts for the first position.
        gold: Agreement with gold quality, over all pairs of traces at the same budget whose quality differs; None
            without labels. It has no influence on the compile.
        usage: The cost of judging, and of measuring the judges that were not used.
    """

    judge: str
    reason: str
    labelled: bool
    reliability: tuple[Reliability, ...]
    orders: Orders | None
    consistency: float | None
    tie_rate: float | None
    position_bias: float | None
    gold: GoldCheck | None
    usage: Usage


def judge_report(
    choice: Choice,
    judgement: Judgement,
    groups: Sequence[TraceGroup],
    trainset: Sequence[dspy.Example],
    metric: AnytimeIndex,
) -> JudgeReport:
    """Returns the report of a judge.

    Args:
        choice: The judge, and the other judges that were considered.
        judgement: The judge's scores of `groups`.
        groups: The traces.
        trainset: The examples of the traces.
        metric: Its `quality` is the gold one.
    """
    orders = judgement.orders
    return JudgeReport(
        judge=judgement.judge,
        reason=choice.reason,
        labelled=judgement.labelled,
        reliability=choice.measured,
        orders=orders,
        consistency=orders.consistency if orders else None,
        tie_rate=orders.tie_rate if orders else None,
        position_bias=orders.position_bias if orders else None,
        gold=gold_check(groups, judgement, trainset, metric),
        usage=sum((one.usage for one in choice.measured if one.judge != judgement.judge), judgement.usage),
    )


def gold_check(
    groups: Sequence[TraceGroup], judgement: Judgement, trainset: Sequence[dspy.Example], metric: AnytimeIndex
) -> GoldCheck | None:
    """Compares a judge's scores with gold quality, over all pairs of traces of an example at the same budget.

    Args:
        groups: The traces.
        judgement: The judge's scores of these groups.
        trainset: The examples of the traces.
        metric: Its `quality` is the gold one.

    Returns:
        None if no example has labels that the quality can be computed from.
    """
    signs: list[float] = []
    told = False
    for group, scores in zip(groups, judgement.scores, strict=True):
        example = trainset[group.example_index]
        rows = [
            gold_qualities(metric, example, (one.prediction if one.answered else None for one in trace.checkpoints))
            for trace in group.traces
        ]
        gold = [row for row in rows if row is not None]
        if len(gold) < len(rows):
            continue
        told = True
        for one, other in itertools.combinations(range(len(gold)), 2):
            columns = zip(gold[one], gold[other], scores[one], scores[other], strict=True)
            signs += [
                0.0 if mine is None or theirs is None else (better - worse) * (mine - theirs)
                for better, worse, mine, theirs in columns
                if better != worse
            ]
    return GoldCheck(len(signs), sum(sign > 0 for sign in signs), sum(sign < 0 for sign in signs)) if told else None


def gold_qualities(
    metric: AnytimeIndex, example: dspy.Example, predictions: Iterable[dspy.Prediction | None]
) -> list[float] | None:
    """Returns the gold quality of predictions for an example; None if its labels do not tell it.

    Args:
        metric: Its `quality` is the gold one.
        example: The example.
        predictions: The predictions; None stands for an answer that could not be read, and has quality 0.
    """
    if not example.labels().keys():
        return None
    try:
        return [0.0 if one is None else metric.quality_of(example, one) for one in predictions]
    except Exception as error:  # quality is the user's code, and a report must not lose a compile that is paid for
        logger.debug("No gold quality for a training example: %s", error)
        return None
