"""The file that traces are kept in as they finish, so that a compile that was killed samples none of them twice."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.checkpoint import Call, Checkpoint, Usage
from anytime_dspy.errors import RunError
from anytime_dspy.files import LineLog
from anytime_dspy.optimizers.traces.trace import SampledTrace
from anytime_dspy.typed import typed

__all__ = ["TraceLog"]


class TraceLog:
    """A JSON Lines file of traces, for `sample_traces` to go on with.

    Args:
        path: The file; its first line says what is sampled.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: LineLog[SampledTrace] | None = None

    def open(self, student: Anytime, fingerprint: Mapping[str, Any]) -> list[SampledTrace]:
        """Returns the traces that are there, and makes ready for more.

        Args:
            student: The program that is sampled. Its signatures say what the values of fields were before they were
                JSON.
            fingerprint: All that decides what a trace is.

        Raises:
            RunError: The file is of another sampling, is damaged, or cannot be written.
        """
        types = {
            name: {field: info.annotation for field, info in predictor.signature.fields.items()}
            for name, predictor in student.named_predictors()
        }
        self._lines = LineLog(self.path, fingerprint, partial(_trace_from, types=types), "trace")
        return self._lines.lines

    def append(self, trace: SampledTrace) -> None:
        """Adds a finished trace and waits until it is on disk.

        Raises:
            RunError: It cannot be written, or the log was not opened.
        """
        if self._lines is None:
            raise RunError(f"{self.path} was not opened")
        self._lines.append(_as_json(trace))


def _as_json(trace: SampledTrace) -> dict[str, Any]:
    points = [{**vars(point), "prediction": dict(point.prediction.items())} for point in trace.checkpoints]
    return {**vars(trace), "checkpoints": points}


def _trace_from(line: Mapping[str, Any], types: Mapping[str, Mapping[str, Any]]) -> SampledTrace:
    points = tuple(_checkpoint_from(point, types) for point in line["checkpoints"])
    return SampledTrace(**{**line, "checkpoints": points, "usage": Usage(**line["usage"])})


def _checkpoint_from(point: Mapping[str, Any], types: Mapping[str, Mapping[str, Any]]) -> Checkpoint:
    # A program's prediction has the fields of its predictors, those of the last one first of all.
    fields = {name: annotation for known in types.values() for name, annotation in known.items()}
    read = {
        "prediction": dspy.Prediction(**typed(point["prediction"], fields)),
        "usage": Usage(**point["usage"]),
        "calls": tuple(_call_from(call, types.get(call["predictor"], {})) for call in point["calls"]),
    }
    return Checkpoint(**{**point, **read})


def _call_from(call: Mapping[str, Any], types: Mapping[str, Any]) -> Call:
    values = {"inputs": typed(call["inputs"], types), "outputs": typed(call["outputs"], types)}
    return Call(**{**call, **values, "unread": tuple(call.get("unread", ()))})
