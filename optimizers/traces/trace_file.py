"""The file of finished traces: a compile that was killed samples none of them again."""

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
from anytime_dspy.storage.typed import typed

__all__ = ["TraceLog", "call_from", "field_types"]


class TraceLog:
    """A JSON Lines file of traces, which `sample_traces` resumes from.

    Args:
        path: The file; its first line identifies the sampling.
    """

    def __init__(self, path: AnyFile) -> None:
        self.path = path
        self._lines: LineLog[SampledTrace] | None = None

    def open(self, student: Anytime, fingerprint: Mapping[str, Any]) -> list[SampledTrace]:
        """Opens the file and returns its traces.

        Args:
            student: The sampled program; its signatures have the types of the stored values.
            fingerprint: Everything that a trace depends on.

        Raises:
            RunError: The file is of another sampling, is damaged, or cannot be written.
        """
        self._lines = LineLog(self.path, fingerprint, partial(_trace_from, types=field_types(student)), "trace")
        return self._lines.lines

    def append(self, trace: SampledTrace) -> None:
        """Appends a finished trace and waits until it is on disk.

        Raises:
            RunError: It cannot be written, or the log was not opened.
        """
        if self._lines is None:
            raise RunError(f"{self.path} was not opened")
        self._lines.append(_as_json(trace))


def field_types(program: Anytime) -> dict[str, dict[str, Any]]:
    """Returns the types of the fields of each predictor, by its name."""
    return {
        name: {field: info.annotation for field, info in predictor.signature.fields.items()}
        for name, predictor in program.named_predictors()
    }


def call_from(call: Mapping[str, Any], types: Mapping[str, Mapping[str, Any]]) -> Call:
    """Returns a call from its JSON, with values of their fields' types."""
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
    # A prediction has the fields of its program's predictors; those of the last one take precedence.
    fields = {name: annotation for known in types.values() for name, annotation in known.items()}
    read = {
        "prediction": dspy.Prediction(**typed(point["prediction"], fields)),
        "usage": Usage(**point["usage"]),
        "calls": tuple(call_from(call, types) for call in point["calls"]),
    }
    return Checkpoint(**{**point, **read})
