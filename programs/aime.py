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


_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*)\}")
_CUE = re.compile(r"\banswer\b(?:\s+to the \w+)?[\s:*#]*", re.IGNORECASE)
# Whatever is written with digits; only the last kind is an integer that can be an answer.
_NUMBER = re.compile(
    r"""
      \\[dtc]?frac\s*(?:\{[^{}]*\}|\d)\s*(?:\{[^{}]*\}|\d)
    | \\sqrt\s*(?:\[[^\]]*\])?\s*(?:\{[^{}]*\}|\d+)
    | (?<![\w.)}\]])-\s*\$?\s*\.?\d[\d.,]*                  # below zero
    | \d[\d.]*\s*(?:/|\\over\b|\\div\b)\s*\d[\d.]*          # a fraction
    | \d[\d.]*\s*(?:\\(?:sqrt|pi|[dtc]?frac)\b|[π√!])\S*    # a product with what is no integer
    | \d[\d.]*\s*\^(?!\s*\{?\s*\\circ)\s*(?:\{[^{}]*\}|\d+) # a power
    | [_^](?!\s*\{?\s*\\circ)\s*(?:\{[^{}]*\}|\d+)         # an index
    | \d*\.0*[1-9]\d* | \d[\d.]*e[+-]?\d+                  # a decimal
    | (?P<integer>\d{1,3}(?:(?:,|\{,\}|\\,)\d{3})+(?!\d) | \d+)(?:\.0*(?!\d))?
    """,
    re.ASCII | re.VERBOSE,
)


def read_integer(text: str) -> str | None:
    r"""Reads the integer from 0 to 999 that a text gives as its answer.

    It is looked for in the last box; else after the last "answer is"; else after the last equals sign; else it is the
    last number of all. Where a negative number, a fraction, a root or a decimal stands at that place, there is none.

    Returns:
        The integer without leading zeros, None where the text gives none.

    Example:
        >>> read_integer(r"So $m + n = \boxed{042}$."), read_integer("The answer is 204, as 3/4 of 272.")
        ('42', '204')
        >>> read_integer("-7"), read_integer("25/8"), read_integer("1024")
        (None, None, None)
    """
    text = text.replace("−", "-")
    for passage, pick in _passages(text):
        numbers = list(_NUMBER.finditer(passage))
        if numbers:
            return _in_range(numbers[pick]["integer"])
    return None


def _passages(text: str) -> list[tuple[str, int]]:
    """Where to look, the surest place first, and which of the numbers there to take."""
    boxes = _BOXED.findall(text)
    if boxes:
        return [(boxes[-1].rpartition("=")[2], -1)]
    after_cue = _CUE.split(text)[1:][-1:]
    after_equals = text.split("=")[1:][-1:]
    return [
        *((rest.partition("\n")[0].rpartition("=")[2], 0) for rest in after_cue),
        *((rest, 0) for rest in after_equals),
        (text, -1),
    ]


def _in_range(digits: str | None) -> str | None:
    if digits is None:
        return None
    plain = re.sub(r"\D", "", digits).lstrip("0") or "0"
    return plain if len(plain) <= len(str(LARGEST)) else None


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
