"""A task that is no arithmetic: what a short Python program, which changes a list of words, prints.

Measured on the 0.5B model before it was taken (32 programs, committed index): .19 as it is, .35 with four
demonstrations written by hand, which name the list's words after each line.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import dspy

from anytime_dspy.errors import DataError
from anytime_dspy.programs.task import Task, field_text

__all__ = ["answer_key", "generate", "load", "quality", "task"]

WORDS = (
    "apple",
    "bread",
    "chair",
    "door",
    "eagle",
    "flag",
    "grape",
    "house",
    "jacket",
    "kite",
    "lemon",
    "mirror",
    "needle",
)
STEPS = (2, 4)
"""The least and the largest number of changes."""


def generate(n: int, seed: int) -> list[dspy.Example]:
    """Makes `n` different programs, the same ones for the same seed, with the input `code` and the label `output`."""
    examples: dict[str, dspy.Example] = {}
    random = Random(f"list-programs-{seed}")
    while len(examples) < n:
        code, output = _program(random)
        one = dspy.Example(id=f"list-{seed}-{len(examples)}", code=code, output=output).with_inputs("code")
        examples.setdefault(code, one)
    return list(examples.values())


def load(path: str | Path | None = None, split: str = "test") -> list[dspy.Example]:
    """Raises DataError: these programs are made."""
    raise DataError("these programs are made: leave --data out")


def answer_key(prediction: Any) -> str | None:
    """Returns the word that is printed; None if there is none."""
    return field_text(prediction, "output").strip("`'\" .\n").lower() or None


def quality(example: dspy.Example, prediction: dspy.Prediction | None) -> float:
    """Returns 1.0 for the right word."""
    return float(answer_key(prediction) == example.output)


def _program(random: Random) -> tuple[str, str]:
    """Returns a program and what it prints, by running each of its lines."""
    unused = random.sample(WORDS, len(WORDS))
    items = [unused.pop() for _ in range(3)]
    lines = [f"items = {_listed(items)}"]
    for _ in range(random.randint(*STEPS)):
        changes = [f'append("{unused[-1]}")', f'insert(0, "{unused[-1]}")', "reverse()", "sort()"]
        change = random.choice(changes + (["pop()", "pop(0)"] if len(items) > 2 else []))
        if unused[-1] in change:
            unused.pop()
        eval(f"items.{change}", {"items": items})  # one of the lines above
        lines.append(f"items.{change}")
    place = random.choice([-1, *range(len(items))])
    return "\n".join([*lines, f"print(items[{place}])"]), items[place]


def _listed(items: list[str]) -> str:
    return "[" + ", ".join(f'"{item}"' for item in items) + "]"


task = Task(
    name="list_programs",
    version="1",
    signature=dspy.Signature("code -> output", "Say what the Python program prints."),
    load=load,
    quality=quality,
    answer_key=answer_key,
    generator=generate,
    budgets=(16, 32, 64, 96),
    answer_tokens=24,
)
