"""Compares several runs with the first of them, by both indices on both axes and by their final answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from anytime_dspy.curve import Axis
from anytime_dspy.statistics.paired import Difference, holm, mcnemar, paired_difference
from anytime_dspy.statistics.summary import item_indices, paired_results
from anytime_dspy.storage.results import ExampleResult
from anytime_dspy.storage.runs import Run, check_comparable

__all__ = ["Comparison", "compare_runs"]

Figures = dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """One run against the first, in one measure.

    Attributes:
        measure: The measure.
        run: The label of the run.
        reference: The label of the first run.
        difference: Run minus reference, paired by item, with the p-value of this comparison alone.
        test: The test of the p-value.
        p_holm: The p-value adjusted for all runs compared in this measure (Holm).
    """

    measure: str
    run: str
    reference: str
    difference: Difference
    test: str
    p_holm: float


def compare_runs(runs: Sequence[Run], *, seed: int = 0) -> tuple[Comparison, ...]:
    """Compares runs with the first one: both indices on both axes, and the final answers.

    Args:
        runs: The runs, at least one; the first is the reference.
        seed: The seed of the intervals and tests.

    Returns:
        For each measure, one comparison per other run.

    Raises:
        RunError: The runs differ in task, task version, scorer, budgets or items.
        BudgetError: Two runs have no measured item in common.
    """
    check_comparable(runs)
    reference, *others = runs
    pairs = [(run, *paired_results(reference.results, run.results)) for run in others]
    compared: list[Comparison] = []
    for measure, figures in _MEASURES.items():
        family = [
            _compare(measure, run.label, reference.label, figures(before), figures(after), seed)
            for run, before, after in pairs
        ]
        adjusted = holm([one.difference.p for one in family])
        compared += [replace(one, p_holm=p) for one, p in zip(family, adjusted, strict=True)]
    return tuple(compared)


def _compare(measure: str, run: str, reference: str, before: Figures, after: Figures, seed: int) -> Comparison:
    difference = paired_difference(before, after, seed=seed)
    test = "sign flips"
    if measure == _FINAL and {*before.values(), *after.values()} <= {0.0, 1.0}:
        exact = mcnemar([before[item] for item in before], [after[item] for item in before])
        difference, test = replace(difference, p=exact), "McNemar"
    return Comparison(measure, run, reference, difference, test, p_holm=difference.p)


def _index(best_so_far: bool, axis: Axis) -> Callable[[Sequence[ExampleResult]], Figures]:
    return lambda results: item_indices(results, best_so_far=best_so_far, axis=axis)


def _final(results: Sequence[ExampleResult]) -> Figures:
    return {result.id: result.points[-1].quality for result in results}


_FINAL = "Final"
_MEASURES: dict[str, Callable[[Sequence[ExampleResult]], Figures]] = {
    "Index, best-so-far": _index(True, "linear"),
    "Index, committed": _index(False, "linear"),
    "Index, best-so-far, log": _index(True, "log"),
    "Index, committed, log": _index(False, "log"),
    _FINAL: _final,
}
