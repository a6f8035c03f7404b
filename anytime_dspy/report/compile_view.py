"""What a page shows of a compiled program: what was learned, from what, and at what price."""

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
        judge: Who preferred the chosen trace.
        chosen: The better trace.
        rejected: The worse one.
        selected: Whether the program was made from it.
        squeezed: Whether the chosen trace is what is left of the rejected one.
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
        instructions: What it is told.
        demonstrations: What it is shown.
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
        pairs: The selected pairs first.
        facts: What the compile says of itself.
        grids: What it cost, and what it tried.
        races: Who raced in each round, and fell when.
    """

    label: str
    predictors: tuple[PredictorView, ...]
    pairs: tuple[PairView, ...]
    facts: tuple[Field, ...]
    grids: tuple[TextTable, ...]
    races: tuple[RaceChart, ...] = ()
