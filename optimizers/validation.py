"""What every optimiser here refuses before it pays for a call."""

from __future__ import annotations

from collections.abc import Sequence

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.errors import DataError, ModelError, ProgramError

__all__ = ["check_compile", "check_inputs"]


def check_compile(
    optimiser: str, student: dspy.Module, trainset: Sequence[dspy.Example], teacher: dspy.Module | None
) -> None:
    """Refuses arguments of `compile` that cannot be used.

    Args:
        optimiser: Its name, for the messages.
        student: The program that is to be compiled.
        trainset: The training examples.
        teacher: What was given as teacher.

    Raises:
        ProgramError: The student is no `Anytime`, or a teacher was given.
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


def check_inputs(examples: Sequence[dspy.Example], kind: str) -> None:
    """Refuses examples that do not say which of their fields are inputs.

    Args:
        examples: To look at.
        kind: What the message calls them.

    Raises:
        DataError: One has no inputs.
    """
    for place, example in enumerate(examples):
        try:
            example.inputs()
        except ValueError as error:
            raise DataError(f"{kind} example {place} has no inputs: call .with_inputs(...) on it") from error
