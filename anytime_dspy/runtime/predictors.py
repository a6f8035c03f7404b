"""A program's predictors and their LMs; looked up for every run, since a program may be changed at any time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dspy

from anytime_dspy._dspy import Parameter

__all__ = ["lm_of", "named_predictors", "own_lm"]

_HISTORY = "history"


def named_predictors(program: dspy.Module) -> list[tuple[str, dspy.Predict]]:
    """Returns what `program.named_predictors()` returns, however many LM calls the program has made.

    DSPy searches every list of a module for predictors, and the list of its last LM calls grows to 10,000.

    Example:
        >>> [name for name, _ in named_predictors(dspy.ReAct("question -> answer", tools=[]))]
        ['react', 'extract.predict']
    """
    found: dict[int, tuple[str, dspy.Predict]] = {}
    for name, parameter in _parameters(program):
        if isinstance(parameter, dspy.Predict):
            found.setdefault(id(parameter), (name, parameter))
    return list(found.values())


def lm_of(predictor: dspy.Predict) -> Any:
    """Returns the LM that a predictor calls: its own, else that of the surrounding `dspy.context`; None without any."""
    return predictor.lm or dspy.settings.lm


def own_lm(program: dspy.Module) -> Any:
    """Returns the LM with which a program judges and writes for itself; None without any.

    It is that of the surrounding `dspy.context`, else the first of its predictors' own.
    """
    own = (predictor.lm for predictor in program.predictors() if predictor.lm is not None)
    return dspy.settings.lm or next(own, None)


def _parameters(module: dspy.Module) -> Iterator[tuple[str, Any]]:
    if type(module).named_parameters is not dspy.Module.named_parameters:
        yield from module.named_parameters()  # a module with its own way of naming its parts
        return
    if isinstance(module, Parameter):
        yield "self", module
    for attribute, held in vars(module).items():
        for name, value in _items(attribute, held) if attribute != _HISTORY else ():
            if isinstance(value, Parameter):
                yield name, value
            elif isinstance(value, dspy.Module) and not getattr(value, "_compiled", False):  # frozen, for DSPy
                yield from ((f"{name}.{inner}", parameter) for inner, parameter in _parameters(value))


def _items(name: str, held: Any) -> Iterator[tuple[str, Any]]:
    """Yields a value by its name, and the items of a list or a dict by theirs."""
    if isinstance(held, (list, tuple)):
        yield from ((f"{name}[{place}]", item) for place, item in enumerate(held))
    elif isinstance(held, dict):
        yield from ((f"{name}['{key}']", item) for key, item in held.items())
    else:
        yield name, held
