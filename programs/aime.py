"""AIME: competition problems whose answers are integers from 0 to 999.

The problems are (c) Mathematical Association of America; nothing of them is shipped here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import dspy
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from anytime_dspy.errors import DataError
from anytime_dspy.programs.numbers.reader import answer_value
from anytime_dspy.programs.records import hub_records, read_records, text_id
from anytime_dspy.programs.task import Task, field_text

__all__ = ["answer_key", "load", "quality", "read_integer", "task"]

INSTRUCTIONS = "Solve the problem. The answer is an integer from 0 to 999."
LARGEST = 999
# Several copies of the data end each problem with this request, which is the prompt's business.
BOILERPLATE = re.compile(r"\s*Please reason step by step[^\n]*\Z")


class HubSet(NamedTuple):
    """Where a year's problems are on the hub."""

    dataset: str
    split: str


HUB_SETS = {"2024": HubSet("HuggingFaceH4/aime_2024", "train"), "2025": HubSet("MathArena/aime_2025", "train")}
# The paper measures on 2024; the other year is what may be learned from.
YEARS = {"2024": "2024", "2025": "2025", "test": "2024", "train": "2025"}


class AimeRecord(BaseModel):
    """A record under any of the names that published copies give the two columns."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    problem: str = Field(validation_alias=AliasChoices("problem", "Problem", "question", "Question"))
    answer: str = Field(validation_alias=AliasChoices("answer", "Answer"))


def load(path: str | Path | None = None, split: str = "test") -> list[dspy.Example]:
    """Reads AIME problems.

    Args:
        path: A JSON, JSON Lines or CSV file or its url, read whole; without one the problems come from the hub.
        split: On the hub "2024" ("test") or "2025" ("train"), thirty problems each.

    Returns:
        Examples with the input `problem` and the label `answer`, an integer as text.

    Raises:
        DataError: The data cannot be fetched or read, or an answer is no integer from 0 to 999.
    """
    if path is not None:
        records = read_records(path, AimeRecord)
    elif split in YEARS:
        records = hub_records(HUB_SETS[YEARS[split]].dataset, "default", HUB_SETS[YEARS[split]].split, AimeRecord)
    else:
        raise DataError(f"AIME has no split {split!r}: there are {', '.join(YEARS)}; or pass --data PATH")
    return [_example(key, record) for key, record in records.items()]


def _example(key: str, record: AimeRecord) -> dspy.Example:
    answer = read_integer(record.answer)
    if answer is None:
        raise DataError(
            f"record {key}: {record.answer[:20]!r} is no integer from 0 to {LARGEST}: is this an AIME file?"
        )
    problem = BOILERPLATE.sub("", record.problem).strip()
    return dspy.Example(id=text_id("aime", problem), problem=problem, answer=answer).with_inputs("problem")


def quality(example: dspy.Example, prediction: dspy.Prediction | None) -> float:
    """Returns 1.0 where the integer in the answer is the gold one, else 0.0."""
    answer = answer_key(prediction)
    return float(answer is not None and answer == read_integer(str(example.answer)))


def answer_key(prediction: dspy.Prediction | None) -> str | None:
    """Returns the integer in a prediction's answer without leading zeros, None where there is none."""
    return read_integer(field_text(prediction, "answer"))


def read_integer(text: str) -> str | None:
    r"""Reads the integer from 0 to 999 that a text gives as its answer, by the reader of all tasks with numbers.

    Returns:
        The integer without leading zeros, None where the text gives none, or a number that no answer can be.

    Example:
        >>> read_integer(r"So $m + n = \boxed{042}$."), read_integer("The answer is 204, as 3/4 of 272.")
        ('42', '204')
        >>> read_integer("-7"), read_integer("25/8"), read_integer("1024")
        (None, None, None)
    """
    value = answer_value(text)
    if value is None or value.denominator != 1 or not 0 <= value <= LARGEST:
        return None
    return str(value.numerator)


task = Task(
    name="aime",
    version="1",
    signature=dspy.Signature("problem: str -> answer: str", INSTRUCTIONS),
    load=load,
    quality=quality,
    answer_key=answer_key,
    budgets=(512, 1024, 2048, 4096, 8192, 16384),
    answer_tokens=64,
)
