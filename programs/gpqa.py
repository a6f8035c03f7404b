"""GPQA: graduate-level science questions with four options (Rein et al. 2023, arXiv 2311.12022; CC BY 4.0).

Its authors ask that no question appear in plain text where it may end up in training data: so the zip is read in
memory and never unpacked, and runs keep no texts (`Task.private`). DSPy's own cache, on its user's disk, does hold
the prompts; `dspy.configure_cache(enable_disk_cache=False)` turns that off.
"""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import dspy
from pydantic import BaseModel, Field, StringConstraints

from anytime_dspy.errors import DataError
from anytime_dspy.programs.letters import read_letter
from anytime_dspy.programs.records import hub_records, parse_records, read_bytes
from anytime_dspy.programs.task import Task, field_text

__all__ = ["GpqaRecord", "answer_key", "load", "quality", "read_letter", "task", "with_options"]

HUB_SET = "Idavidrein/gpqa"
# Not a secret: its README gives it to everyone; it keeps crawlers out.
PASSWORD = b"deserted-untie-orchid"
WAY_IN = (
    f"accept its terms at huggingface.co/datasets/{HUB_SET} and log in with `hf auth login`, or fetch dataset.zip from "
    "github.com/idavidrein/gpqa and pass it with --data dataset.zip"
)
INSTRUCTIONS = "Choose the one option that answers the question. The answer is its letter."
LETTERS = "ABCD"
SETS = ("diamond", "main", "extended")

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class GpqaRecord(BaseModel):
    """What is read of a row of the official files."""

    record_id: Text = Field(alias="Record ID")
    question: Text = Field(alias="Question")
    correct: Text = Field(alias="Correct Answer")
    incorrect_1: Text = Field(alias="Incorrect Answer 1")
    incorrect_2: Text = Field(alias="Incorrect Answer 2")
    incorrect_3: Text = Field(alias="Incorrect Answer 3")

    @property
    def options(self) -> tuple[str, ...]:
        """The four options, the correct one first."""
        return (self.correct, self.incorrect_1, self.incorrect_2, self.incorrect_3)


def load(path: str | Path | None = None, split: str = "test") -> list[dspy.Example]:
    """Reads GPQA.

    Args:
        path: The official `dataset.zip` or its url; without one the questions come from the hub, where they are gated.
        split: "diamond" ("test"), "main" or "extended", each of which holds the one before; "train" is what main has
            beyond diamond.

    Returns:
        Examples with the inputs `question` and `options`, and the labels `answer`, a letter, and `right`, every letter
        whose option reads as the correct one does: a few rows have an option twice. The order of the options follows
        from the record's id.

    Raises:
        DataError: The data cannot be fetched or read.
    """
    if split == "train":
        held_out = {example.id for example in load(path, "diamond")}
        return [example for example in load(path, "main") if example.id not in held_out]
    name = "diamond" if split == "test" else split
    if name not in SETS:
        raise DataError(f"GPQA has no split {split!r}: there are test, train, {', '.join(SETS)}")
    if path is None:
        records = hub_records(HUB_SET, f"gpqa_{name}", "train", GpqaRecord, way_in=WAY_IN)
    else:
        records = _zipped(read_bytes(path), str(path), f"gpqa_{name}.csv")
    return [with_options(record, _order(record.record_id)) for record in records.values()]


def _zipped(content: bytes, source: str, member: str) -> dict[str, GpqaRecord]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            table = archive.read(f"dataset/{member}", pwd=PASSWORD)
    except (zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError) as error:
        reason = " ".join(str(error).strip("'\"").split())
        raise DataError(f"{source} is not GPQA's official zip with {member} ({reason}): {WAY_IN}") from error
    return parse_records(table, f"{source}/{member}", GpqaRecord)


def _order(record_id: str) -> list[int]:
    order = list(range(len(LETTERS)))
    random.Random(record_id).shuffle(order)
    return order


def with_options(record: GpqaRecord, order: Sequence[int]) -> dspy.Example:
    """Returns the example that shows a record's options in the given order, 0 being the correct one."""
    shown = dict(zip(LETTERS, (record.options[place] for place in order), strict=True))
    return dspy.Example(
        id=record.record_id,
        question=record.question,
        options="\n".join(f"{letter}) {option}" for letter, option in shown.items()),
        answer=LETTERS[list(order).index(0)],
        right="".join(letter for letter, option in shown.items() if option == record.correct),
    ).with_inputs("question", "options")


def quality(example: dspy.Example, prediction: dspy.Prediction | None) -> float:
    """Returns 1.0 where the letter in the answer is that of the correct option, else 0.0."""
    letter = answer_key(prediction)
    return float(letter is not None and letter in example.right)


def answer_key(prediction: dspy.Prediction | None) -> str | None:
    """Returns the letter that a prediction's answer gives, None where it gives none or several."""
    return read_letter(field_text(prediction, "answer"))


task = Task(
    name="gpqa",
    version="2",
    signature=dspy.Signature("question: str, options: str -> answer: str", INSTRUCTIONS),
    load=load,
    quality=quality,
    answer_key=answer_key,
    budgets=(512, 1024, 2048, 4096, 8192, 16384),
    answer_tokens=64,
    private=True,
)
