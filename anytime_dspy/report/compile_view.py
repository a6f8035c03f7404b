"""The page's view of a compile: what was learned, from what, and at what cost."""

from __future__ import annotations

from dataclasses import dataclass

from anytime_dspy.report.examples import Field
from anytime_dspy.report.race_chart import RaceChart
from anytime_dspy.report.tables import TextTable

__all__ = ["CompileView", "PairView", "PredictorView", "TraceView"]


@dataclass(frozen=True)
class TraceView:
    """One side of a pair."""

    reasoning: str
    answer: tuple[Field, ...]
    score: float


@dataclass(frozen=True)
class PairView:
    """One preference pair.

    Attributes:
        budget: Reasoning tokens.
        inputs: The training example's.
        judge: The judge that preferred the chosen trace.
        chosen: The better trace.
        rejected: The worse one.
        selected: Whether the program was compiled from it.
        squeezed: Whether the chosen trace is a squeezed part of the rejected one.
    """

    budget: int
    inputs: tuple[Field, ...]
    judge: str
    chosen: TraceView
    rejected: TraceView
    selected: bool
    squeezed: bool


@dataclass(frozen=True)
class PredictorView:
    """One predictor of the program.

    Attributes:
        predictor: Its name.
        instructions: Its instructions.
        demonstrations: Its demonstrations.
    """

    predictor: str
    instructions: str
    demonstrations: tuple[tuple[Field, ...], ...]


@dataclass(frozen=True)
class CompileView:
    """A compile.

    Attributes:
        label: Its folder.
        predictors: The program that won.
        pairs: The pairs, the selected ones first.
        facts: The plain values of its report.
        grids: Its costs and trials.
        races: The race of each round.
    """

    label: str
    predictors: tuple[PredictorView, ...]
    pairs: tuple[PairView, ...]
    facts: tuple[Field, ...]
    grids: tuple[TextTable, ...]
    races: tuple[RaceChart, ...] = ()
