"""The figures of a bench: each compiler over its seeds, and what it gains over another, paired by item.

An item is a held-out example. Where seeds share one, its indices are averaged first, so that an item counts once
however often it was run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from anytime_dspy.statistics.bootstrap import Estimate, bootstrap_interval
from anytime_dspy.statistics.paired import Difference, paired_difference
from experiments.compilers.methods import BASE, COMPILERS
from experiments.compilers.plan import Bench
from experiments.compilers.result import Point, Result

__all__ = ["Figures", "Runs", "figures_of", "gain", "runs_of"]

# A compiler's points by seed.
Runs = Mapping[int, Point]


@dataclass(frozen=True)
class Figures:
    """One compiler at one limit, over the seeds that it was run with.

    Attributes:
        seeds: How many.
        n: Items.
        index: Held-out committed index.
        tokens: Of the compile, mean over seeds.
        tokens_a_run: Mean tokens of a held-out run.
        optimism: What the compiler believed to have gained on its own examples, less what it gained on held-out ones:
            the mean over the seeds in which it measured both; None where it never did.
        students: Seeds in which its program is the plain one.
    """

    seeds: int
    n: int
    index: Estimate
    tokens: float
    tokens_a_run: float
    optimism: float | None
    students: int


def runs_of(bench: Bench, found: Sequence[Result], place: int = -1) -> dict[str, Runs]:
    """Returns each compiler's points, the plain program's included.

    Args:
        bench: The bench.
        found: All results; other benches' and failed ones are left out.
        place: Of the limit: -1 for the whole of it.
    """
    runs: dict[str, dict[int, Point]] = {name: {} for name in (BASE, *COMPILERS)}
    for result in found:
        if result.bench == bench.name and result.points:
            runs[result.compiler][result.seed] = result.points[-1 if result.compiler == BASE else place]
    return {name: points for name, points in runs.items() if points}


def figures_of(runs: Runs, base: Runs) -> Figures:
    """Sums up one compiler.

    Args:
        runs: Its points.
        base: The plain program's.
    """
    values = list(_by_item(runs, runs).values())
    interval = bootstrap_interval(values, bounds=(0.0, 1.0))
    beliefs = [
        point.raw_gain - fmean(point.indices[item] - base[seed].indices[item] for item in _shared(point, base[seed]))
        for seed, point in runs.items()
        if point.raw_gain is not None and seed in base
    ]
    return Figures(
        seeds=len(runs),
        n=len(values),
        index=Estimate(fmean(values), interval.low, interval.high),
        tokens=fmean(point.tokens for point in runs.values()),
        tokens_a_run=fmean(point.tokens_a_run for point in runs.values()),
        optimism=fmean(beliefs) if beliefs else None,
        students=sum(point.is_student for point in runs.values()),
    )


def gain(before: Runs, after: Runs) -> Difference | None:
    """Returns how much higher the second's index is, on the items and seeds of both; None where they share none."""
    pair = _by_item(before, after), _by_item(after, before)
    return paired_difference(*pair) if pair[0] else None


def _by_item(runs: Runs, other: Runs) -> dict[str, float]:
    """An item's mean index over the seeds in which both ran it."""
    values: dict[str, list[float]] = defaultdict(list)
    for seed in sorted(runs.keys() & other.keys()):
        for item in _shared(runs[seed], other[seed]):
            values[item].append(runs[seed].indices[item])
    return {item: fmean(found) for item, found in values.items()}


def _shared(one: Point, other: Point) -> list[str]:
    return sorted(one.indices.keys() & other.indices.keys())
