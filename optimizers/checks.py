"""Checks of the arguments of `compile`, before any LM call."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.budgets import whole_number
from anytime_dspy.errors import AnytimeError, DataError, ModelError, ProgramError
from anytime_dspy.measure import check_inputs
from anytime_dspy.metric import AnytimeIndex

__all__ = ["check_compile", "check_options"]


def check_options(optimiser: Any, **least: int) -> None:
    """Checks the options that optimisers share.

    Args:
        optimiser: The optimiser, with a metric and a sampling temperature.
        least: The smallest value of other options, by name; an option may be None.

    Raises:
        AnytimeError: An option is invalid.
    """
    if not isinstance(optimiser.metric, AnytimeIndex):
        raise AnytimeError(f"metric must be an AnytimeIndex(quality), not {type(optimiser.metric).__name__}")
    for name, smallest in least.items():
        value = getattr(optimiser, name)
        number = whole_number(value)
        if value is not None and (number is None or number < smallest):
            raise AnytimeError(f"{name} must be at least {smallest}, and a whole number; got {value!r}")
    temperature = optimiser.temperature
    if not isinstance(temperature, Real) or not float(temperature) > 0:
        raise AnytimeError(f"temperature must be above 0, or all samples are the same; got {temperature!r}")
    sure = getattr(optimiser, "sure", 0.5)
    if not isinstance(sure, Real) or not 0.5 <= float(sure) < 1:
        raise AnytimeError(f"sure must be a probability from 0.5 to below 1, such as 0.9; got {sure!r}")
    answer_key = getattr(optimiser, "answer_key", None)
    if answer_key is not None and not callable(answer_key):
        raise AnytimeError(f"answer_key must be a function of a prediction, not {answer_key!r}")


def check_compile(
    optimiser: str, student: dspy.Module, trainset: Sequence[dspy.Example], teacher: dspy.Module | None
) -> None:
    """Checks the arguments of `compile`.

    Args:
        optimiser: The name of the optimiser, for error messages.
        student: The program to compile.
        trainset: The training examples.
        teacher: The teacher argument; no teacher is supported.

    Raises:
        ProgramError: The student is not an `Anytime`, or a teacher was given.
        DataError: There are no training examples, or one has no inputs.
        ModelError: There is no LM to run the student on.
    """
    if not isinstance(student, Anytime):
        kind = type(student).__name__
        raise ProgramError(f"{optimiser} compiles an Anytime program, not {kind}: wrap it in ad.Anytime(...)")
    if teacher is not None:
        raise ProgramError(f"{optimiser} has no teacher: the student learns from its own traces, so leave teacher out")
    if not trainset:
        raise DataError(f"the trainset is empty: {optimiser} needs a few examples")
    check_inputs(trainset, "training")
    if dspy.settings.lm is None and any(predictor.lm is None for predictor in student.predictors()):
        raise ModelError("there is no LM to run the student on: compile inside `with dspy.context(lm=...):`")
