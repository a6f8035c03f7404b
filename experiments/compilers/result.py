"""What is kept of a cell: a small JSON file, with the held-out index of every example."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from anytime_dspy.errors import RunError
from anytime_dspy.storage.jsonl import reading, write_json
from experiments.compilers.plan import Cell

__all__ = ["Point", "Result", "Results", "read_result", "write_result"]

Ended = Literal["by itself", "at the limit"]


@dataclass(frozen=True)
class Point:
    """A program, compiled within a number of tokens, on the held-out examples.

    Attributes:
        limit: Tokens that the compile might use.
        tokens: Tokens that it did use, sent and received.
        calls: Its LM calls.
        ended: Whether it was over before the limit.
        program: A hash of the program.
        is_student: Whether that is the plain program: the compiler had no other by then, or preferred it.
        demonstrations: That its first predictor shows.
        validation: What the compiler measured of it on all of the examples that it chooses by; None where it did not.
        student_validation: The same of the student.
        indices: The committed Anytime Index by the held-out example's id.
        tokens_a_run: Mean tokens of a held-out run at the largest budget, sent and generated.
        failed: Held-out examples that could not be run; in no figure.
    """

    limit: int
    tokens: int
    calls: int
    ended: Ended
    program: str
    is_student: bool
    demonstrations: int
    validation: float | None
    student_validation: float | None
    indices: Mapping[str, float]
    tokens_a_run: float
    failed: int = 0

    @property
    def raw_gain(self) -> float | None:
        """What the compiler believed to have gained, where it measured that."""
        if self.validation is None or self.student_validation is None:
            return None
        return self.validation - self.student_validation


@dataclass(frozen=True)
class Result:
    """A cell that was run.

    Attributes:
        bench: The bench's name.
        task: Its task.
        model: Its LM.
        compiler: The compiler.
        seed: The seed.
        simulated: Whether the LM is a scripted engine: then no figure says anything about a language model.
        fingerprint: A hash of all that decides the figures.
        points: One at each limit; one alone for the plain program; none where the cell failed.
        error: Why it failed.
    """

    bench: str
    task: str
    model: str
    compiler: str
    seed: int
    simulated: bool
    fingerprint: str
    points: tuple[Point, ...] = ()
    error: str | None = None


# Of all cells that were run, failed ones included.
Results = Mapping[Cell, Result]

_RESULT: TypeAdapter[Result] = TypeAdapter(Result)


def read_result(folder: Path, cell: Cell, fingerprint: str) -> Result | None:
    """Returns what is kept of a cell, None where there is nothing.

    Args:
        folder: Of all results.
        cell: The cell.
        fingerprint: As the plan has it now.

    Raises:
        RunError: The file is damaged, or of another plan.
    """
    path = _file(folder, cell)
    if not path.exists():
        return None
    with reading(path):
        try:
            result = _RESULT.validate_json(path.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            raise RunError(f"{path} is no result ({first['loc']}: {first['msg']}): restore or delete it") from error
    if result.fingerprint != fingerprint:
        raise RunError(f"{path} was measured with other settings: restore the plan, or choose another --results folder")
    return result


def write_result(folder: Path, cell: Cell, result: Result) -> None:
    """Writes a cell's file as a whole.

    Raises:
        RunError: It cannot be written.
    """
    path = _file(folder, cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, asdict(result))


def _file(folder: Path, cell: Cell) -> Path:
    return folder / f"{cell.path}.json"
