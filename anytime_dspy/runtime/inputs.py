"""The inputs of a program."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

import dspy

__all__ = ["takes_input"]


def takes_input(program: dspy.Module, predictors: Iterable[dspy.Predict], name: str) -> bool:
    """Whether a program has an input of that name.

    That is so if its `forward` has such a parameter or, where it takes any keywords, if one of its predictors has such
    an input field.

    Args:
        program: The program.
        predictors: Its predictors, those of compiled parts included.
        name: The input's name.

    Example:
        >>> program = dspy.ChainOfThought("task, deadline -> plan")
        >>> [takes_input(program, program.predictors(), name) for name in ("deadline", "stop")]
        [True, False]
    """
    parameters = inspect.signature(getattr(program, "forward", program.acall)).parameters
    passes_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return name in parameters or (
        passes_on and any(name in predictor.signature.input_fields for predictor in predictors)
    )
