"""Grade-school arithmetic word problems: generated ones, and GSM8K's (Cobbe et al. 2021, arXiv 2110.14168)."""

from __future__ import annotations

from pathlib import Path

import dspy
from pydantic import BaseModel

from anytime_dspy.errors import DataError
from anytime_dspy.programs.numbers.reader import read_number
from anytime_dspy.programs.records import hub_records, read_records
from anytime_dspy.programs.task import Task, field_text
from anytime_dspy.programs.word_problems.generator import generate

__all__ = ["answer_key", "load", "quality", "task"]

INSTRUCTIONS = "Solve the problem. The answer is a number."


class Gsm8kRecord(BaseModel):
    """A record of GSM8K; its answer ends in `#### 42`."""

    question: str
    answer: str


def load(path: str | Path | None = None, split: str = "test") -> list[dspy.Example]:
    """Reads word problems in GSM8K's format.

    Args:
        path: A JSON Lines file or its url; without one GSM8K comes from the Hugging Face hub (`openai/gsm8k`).
        split: "train" or "test" on the hub; a file is read whole, and its examples are named after the split.

    Returns:
        Examples with the input `problem` and the label `answer`, a number as text.

    Raises:
        DataError: The data cannot be fetched or read.
    """
    if path is None:
        records = hub_records("openai/gsm8k", "main", split, Gsm8kRecord)
    else:
        records = read_records(path, Gsm8kRecord)
    return [_gsm8k_example(f"gsm8k-{split}-{key}", record) for key, record in records.items()]


def _gsm8k_example(key: str, record: Gsm8kRecord) -> dspy.Example:
    answer = read_number(record.answer.partition("####")[2])
    if answer is None:
        raise DataError(f"{key}: the answer has no number after '####': is this a GSM8K file?")
    return dspy.Example(id=key, problem=record.question.strip(), answer=answer).with_inputs("problem")


def quality(example: dspy.Example, prediction: dspy.Prediction | None) -> float:
    """Returns 1.0 where the number in the answer equals the gold answer, else 0.0."""
    answer = answer_key(prediction)
    return float(answer is not None and answer == read_number(str(example.answer)))


def answer_key(prediction: dspy.Prediction | None) -> str | None:
    """Returns the number in a prediction's answer in canonical form, None where there is none."""
    return read_number(field_text(prediction, "answer"))


task = Task(
    name="word_problems",
    version="1",
    signature=dspy.Signature("problem: str -> answer: str", INSTRUCTIONS),
    load=load,
    quality=quality,
    answer_key=answer_key,
    generator=generate,
    budgets=(16, 32, 64, 96),
    answer_tokens=32,
)
