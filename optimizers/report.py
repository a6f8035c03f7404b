"""What a compile reports of itself."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dspy

from anytime_dspy.checkpoint import Usage
from anytime_dspy.index import AnytimeIndex
from anytime_dspy.optimizers.judge_report import JudgeReport
from anytime_dspy.optimizers.judges import Reliability
from anytime_dspy.optimizers.pairs import PreferencePair

__all__ = ["CompileReport", "GoldAgreement", "gold_agreement"]

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
class CompileReport:
    """What compiling was, in the attribute `compile_report` of the compiled program.

    Attributes:
        judge: Who scored the traces.
        reason: Why this judge, in one line.
        reliability: Of every judge that was considered, the used one included.
        judged: How the judge fared: order consistency, ties, position bias, agreement with gold.
        traces: Traces that were sampled.
        failed: Runs of the student that gave none.
        pairs: Pairs of all examples and budgets.
        selected: One pair a budget, as the program shows them.
        synthesis: What sampling the traces cost.
        judging: What judging them cost, reliability included.
        gold: Agreement with gold over all pairs, None where there are no labels.
        gold_selected: The same over the selected pairs.
    """

    judge: str
    reason: str
    reliability: tuple[Reliability, ...]
    judged: JudgeReport
    traces: int
    failed: int
    pairs: int
    selected: tuple[PreferencePair, ...]
    synthesis: Usage
    judging: Usage
    gold: GoldAgreement | None
    gold_selected: GoldAgreement | None


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
            float(metric.quality(example, dspy.Prediction(**side.outputs))) if side.answered else 0.0
            for side in (pair.chosen, pair.rejected)
        )
    except Exception as error:  # quality is anyone's code, and a report must not lose a compile that is paid for
        logger.debug("No gold quality for training example %d: %s", pair.example_index, error)
        return None
    return better - worse
