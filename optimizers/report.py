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
from anytime_dspy.optimizers.rounds import Round

__all__ = ["CompileReport", "GoldAgreement", "Searched", "gold_agreement"]

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
    """What a search over all rounds found.

    Attributes:
        student: The student's own validation index, None where its trial did not end.
        score: The returned program's, measured again on the whole validation set.
        scores: The same of each validation example, in their order.
        examples: Validation examples.
        trials: Trials of all rounds.
        stopped: The limit that stopped the search, None where none did.
        usage: What the trials cost, and writing the instructions.
    """

    student: float | None
    score: float
    scores: tuple[float, ...]
    examples: int
    trials: int
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
        synthesis: What sampling the traces of all rounds cost.
        judging: What judging them cost, reliability included.
        gold: Agreement with gold over all pairs, None where there are no labels.
        gold_selected: The same over the selected pairs.
        search: What the search found; None for the fixed recipe.
        rounds: Each round, with every trial.
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
    search: Searched | None
    rounds: tuple[Round, ...]


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
