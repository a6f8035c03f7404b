"""Items one by one: the inputs and, for each run, the trace and the answer at every budget."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from anytime_dspy.answers import answer_values
from anytime_dspy.calls.media import shown
from anytime_dspy.checkpoint import ScoredCheckpoint
from anytime_dspy.storage.results import ExampleResult
from anytime_dspy.storage.runs import Run

__all__ = ["Attempt", "Field", "Item", "Step", "fields", "items"]


@dataclass(frozen=True)
class Field:
    """A named text."""

    name: str
    text: str


@dataclass(frozen=True)
class Step:
    """One checkpoint.

    Attributes:
        budget: Reasoning tokens.
        quality: In [0, 1].
        state: How the answer came about, in words.
        reasoning: The reasoning since the budget before.
        answer: The answer's fields.
        tokens: Reasoning tokens spent.
    """

    budget: int
    quality: float
    state: str
    reasoning: str
    answer: tuple[Field, ...]
    tokens: int


@dataclass(frozen=True)
class Attempt:
    """One item in one run.

    Attributes:
        run: Its label.
        steps: One per budget; none if the item could not be run.
        calls: The calls of the trace, if the program made more than one.
        error: Why it could not be run.
    """

    run: str
    steps: tuple[Step, ...]
    calls: tuple[Field, ...]
    error: str | None


@dataclass(frozen=True)
class Item:
    """One item in all runs.

    Attributes:
        id: Its id.
        inputs: Its input fields; none for a private task.
        attempts: One per run.
    """

    id: str
    inputs: tuple[Field, ...]
    attempts: tuple[Attempt, ...]


def items(runs: Sequence[Run]) -> tuple[Item, ...]:
    """Returns the items of comparable runs, sorted by id in natural order (9 before 10)."""
    results = [{result.id: result for result in run.results} for run in runs]
    return tuple(
        Item(
            id=first.id,
            inputs=fields(first.inputs),
            attempts=tuple(_attempt(run.label, by_id[first.id]) for run, by_id in zip(runs, results, strict=True)),
        )
        for first in sorted(runs[0].results, key=lambda result: _natural(result.id))
    )


def fields(values: Mapping[str, Any]) -> tuple[Field, ...]:
    """Returns a mapping's values as texts."""
    return tuple(Field(name, _text(value)) for name, value in values.items())


def _natural(name: str) -> list[tuple[int, str]]:
    """Returns a sort key in which numbers compare as numbers; the split alternates between text and numbers."""
    return [(int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", name)]


def _attempt(run: str, result: ExampleResult) -> Attempt:
    calls = result.trace if len(result.trace) > 1 else ()
    return Attempt(run, tuple(_steps(result.points)), tuple(_call(call) for call in calls), result.error)


def _steps(points: Iterable[ScoredCheckpoint]) -> Iterable[Step]:
    before = ""
    for point in points:
        answer = answer_values(dspy.Prediction(**point.prediction))
        reasoning = "\n\n".join(_text(point.prediction[name]) for name in point.prediction if name not in answer)
        grown = reasoning.startswith(before)
        yield Step(
            budget=point.budget,
            quality=point.quality,
            state=_state(point),
            reasoning=reasoning[len(before) :] if grown else reasoning,
            answer=fields(answer),
            tokens=point.reasoning_tokens,
        )
        before = reasoning


def _state(point: ScoredCheckpoint) -> str:
    if not point.answered:
        return "no answer, it was cut off" if point.censored else "no answer"
    if point.forced:
        return "cut, answer forced and cut off" if point.censored else "cut, answer forced"
    return "answer cut off" if point.censored else "ended by itself"


def _call(call: Mapping[str, Any]) -> Field:
    outputs = "\n".join(f"{field.name}: {field.text}" for field in fields(call.get("outputs") or {}))
    return Field(str(call.get("predictor", "")), outputs or _text(call.get("reasoning", "")))


def _text(value: Any) -> str:
    if isinstance(value, Mapping):  # such as ReAct's trajectory, one line per entry
        return "\n".join(f"{name}: {_text(part)}" for name, part in value.items())
    return "" if value is None else shown(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
