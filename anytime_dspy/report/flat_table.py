"""The checkpoints of runs as one flat table, for other programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import dspy

from anytime_dspy.answers import answer_values
from anytime_dspy.errors import RunError
from anytime_dspy.storage.jsonl import json_line
from anytime_dspy.storage.runs import Run

__all__ = ["point_rows", "write_rows"]


def point_rows(runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
    """Yields a row per run, item and budget; inputs and answers are JSON texts.

    Items that could not be run have no row.
    """
    for run in runs:
        for result in run.results:
            best = accumulate((point.quality for point in result.points), max)
            for point, best_so_far in zip(result.points, best, strict=True):
                yield {
                    "run": run.label,
                    "id": result.id,
                    "budget": point.budget,
                    "quality": point.quality,
                    "best_so_far": best_so_far,
                    "answered": point.answered,
                    "censored": point.censored,
                    "forced": point.forced,
                    "prompt_tokens": point.usage.prompt_tokens,
                    "reasoning_tokens": point.usage.reasoning_tokens,
                    "answer_tokens": point.usage.answer_tokens,
                    "hidden_tokens": point.usage.hidden_tokens,
                    "dollars": point.usage.dollars,
                    "inputs": json_line(result.inputs).strip(),
                    "answer": json_line(answer_values(dspy.Prediction(**point.prediction))).strip(),
                }


def write_rows(path: Path, runs: Sequence[Run]) -> None:
    """Writes `point_rows` as .csv or .parquet.

    Raises:
        RunError: It cannot be written.
    """
    import datasets  # slow to import

    table = datasets.Dataset.from_list(list(point_rows(runs))).to_pandas()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            table.to_parquet(file) if path.suffix == ".parquet" else table.to_csv(file, index=False)
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another folder"
        ) from error
