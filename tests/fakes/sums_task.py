"""A task of sums that `tests/fakes/simulated.py` can do, given by its path as a plug-in is."""

from __future__ import annotations

import dspy

from anytime_dspy.programs.task import Task, field_text
from tests.fakes.simulated import examples


def generate(n: int, seed: int) -> list[dspy.Example]:
    return [
        example.copy(id=f"sum-{seed}-{place}").with_inputs("question")
        for place, example in enumerate(examples(1 + 1000 * (seed % 1000), 7 * n)[::7])  # hard and easy ones
    ]


def quality(example: dspy.Example, prediction: dspy.Prediction | None) -> float:
    return float(field_text(prediction, "answer") == example.answer)


def load(path: object = None, split: str = "test") -> list[dspy.Example]:
    return []


def answer_key(prediction: dspy.Prediction | None) -> str | None:
    return field_text(prediction, "answer") or None


task = Task("sums", "1", "question -> answer", load=load, quality=quality, answer_key=answer_key, generator=generate)
