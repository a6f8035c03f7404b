"""A program's predictors, found before every sweep, since a program may be changed at any time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dspy
from dspy.predict.parameter import Parameter

__all__ = ["named_predictors"]

_HISTORY = "history"


def named_predictors(program: dspy.Module) -> list[tuple[str, dspy.Predict]]:
    """Returns what `program.named_predictors()` returns, however many LM calls the program has made.

    DSPy looks for predictors in every list of a module, and in a long run one of these holds its last 10,000 calls.

    Example:
        >>> [name for name, _ in named_predictors(dspy.ReAct("question -> answer", tools=[]))]
        ['react', 'extract.predict']
    """
    found: dict[int, tuple[str, dspy.Predict]] = {}
    for name, parameter in _parameters(program):
        if isinstance(parameter, dspy.Predict):
            found.setdefault(id(parameter), (name, parameter))
    return list(found.values())


def _parameters(module: dspy.Module) -> Iterator[tuple[str, Any]]:
    if type(module).named_parameters is not dspy.Module.named_parameters:
        yield from module.named_parameters()  # it says itself what it is made of
        return
    if isinstance(module, Parameter):
        yield "self", module
    for attribute, held in vars(module).items():
        for name, value in _items(attribute, held) if attribute != _HISTORY else ():
            if isinstance(value, Parameter):
                yield name, value
            elif isinstance(value, dspy.Module) and not getattr(value, "_compiled", False):  # DSPy keeps such frozen
                yield from ((f"{name}.{inner}", parameter) for inner, parameter in _parameters(value))


def _items(name: str, held: Any) -> Iterator[tuple[str, Any]]:
    """Yields a value by its name; of a list or a dict its items."""
    if isinstance(held, (list, tuple)):
        yield from ((f"{name}[{place}]", item) for place, item in enumerate(held))
    elif isinstance(held, dict):
        yield from ((f"{name}['{key}']", item) for key, item in held.items())
    else:
        yield name, held
