"""The file that traces are kept in as they finish, so that a compile that was killed samples none of them twice."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.checkpoint import Call, Checkpoint, Usage
from anytime_dspy.errors import RunError
from anytime_dspy.optimizers.traces.trace import SampledTrace
from anytime_dspy.storage.jsonl import AnyFile, LineLog
from anytime_dspy.storage.results import typed

__all__ = ["TraceLog", "call_from", "field_types"]


class TraceLog:
    """A JSON Lines file of traces, for `sample_traces` to go on with.

    Args:
        path: The file; its first line says what is sampled.
    """

    def __init__(self, path: AnyFile) -> None:
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
        self._lines = LineLog(self.path, fingerprint, partial(_trace_from, types=field_types(student)), "trace")
        return self._lines.lines

    def append(self, trace: SampledTrace) -> None:
        """Adds a finished trace and waits until it is on disk.

        Raises:
            RunError: It cannot be written, or the log was not opened.
        """
        if self._lines is None:
            raise RunError(f"{self.path} was not opened")
        self._lines.append(_as_json(trace))


def field_types(program: Anytime) -> dict[str, dict[str, Any]]:
    """Returns the types of each predictor's fields, by its name: what values were before they were JSON."""
    return {
        name: {field: info.annotation for field, info in predictor.signature.fields.items()}
        for name, predictor in program.named_predictors()
    }


def call_from(call: Mapping[str, Any], types: Mapping[str, Mapping[str, Any]]) -> Call:
    """Reads a call back, its values as their fields have them."""
    known = types.get(call["predictor"], {})
    values = {"inputs": typed(call["inputs"], known), "outputs": typed(call["outputs"], known)}
    return Call(**{**call, **values, "unread": tuple(call.get("unread", ()))})


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
        "calls": tuple(call_from(call, types) for call in point["calls"]),
    }
    return Checkpoint(**{**point, **read})
