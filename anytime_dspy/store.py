"""The folder of a run: what was measured, kept line by line so that a killed run goes on where it stopped."""

from __future__ import annotations

import json
import logging
import os
import platform
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import JsonValue, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from anytime_dspy.checkpoint import Checkpoint, Usage
from anytime_dspy.errors import RunError
from anytime_dspy.files import append_line, as_line

__all__ = ["ExampleResult", "Point", "RunStore", "result_from"]

logger = logging.getLogger(__name__)

SCHEMA = 1
RUN, RESULTS, SUMMARY = "run.json", "results.jsonl", "summary.json"


@dataclass(frozen=True)
class Point:
    """One checkpoint of one example, scored.

    Attributes:
        budget: The cap on reasoning tokens.
        quality: What the quality function gave, 0 where there was no answer.
        prediction: The output fields.
        reasoning_tokens: Reasoning spent, at most `budget`.
        answer_tokens: Tokens of the answers.
        forced: Whether an answer had to be asked for because the budget ran out.
        answered: Whether an answer could be read.
        usage: What a run at this budget costs.
    """

    budget: int
    quality: float
    prediction: dict[str, JsonValue]
    reasoning_tokens: int
    answer_tokens: int
    forced: bool
    answered: bool
    usage: Usage


@dataclass(frozen=True)
class ExampleResult:
    """All that a run keeps of one example.

    Attributes:
        id: Unique in the run; comparisons of two runs are paired by it.
        inputs: The example's input fields.
        points: One a budget, budgets increasing; empty where `error` is set.
        trace: One mapping an LM call: the predictor, its reasoning and answer texts, their tokens.
        error: What went wrong where the example could not be run; such an example is tried again by the next run.
    """

    id: str
    inputs: dict[str, JsonValue]
    points: tuple[Point, ...]
    trace: tuple[dict[str, JsonValue], ...] = ()
    error: str | None = None


_LINE: TypeAdapter[ExampleResult] = TypeAdapter(ExampleResult)


def result_from(
    example_id: str,
    inputs: Mapping[str, Any],
    checkpoints: Sequence[Checkpoint],
    qualities: Sequence[float],
    trace: Sequence[Mapping[str, Any]] = (),
) -> ExampleResult:
    """Puts a scored prediction into the form in which a run keeps it.

    Args:
        example_id: Unique in the run.
        inputs: The example's input fields; values that JSON cannot hold become their `str`.
        checkpoints: The prediction's `.checkpoints`.
        qualities: One a checkpoint, as in `AnytimeIndex.curve(...).qualities`.
        trace: One mapping an LM call.
    """
    return ExampleResult(
        id=example_id,
        inputs=_as_json(inputs),
        points=tuple(
            Point(
                budget=checkpoint.budget,
                quality=quality,
                prediction=_as_json(dict(checkpoint.prediction.items())),
                reasoning_tokens=checkpoint.reasoning_tokens,
                answer_tokens=checkpoint.answer_tokens,
                forced=checkpoint.forced,
                answered=checkpoint.answered,
                usage=checkpoint.usage,
            )
            for checkpoint, quality in zip(checkpoints, qualities, strict=True)
        ),
        trace=tuple(_as_json(call) for call in trace),
    )


class RunStore:
    """A run's folder: `run.json` says what is measured, `results.jsonl` has a line an example, `summary.json` sums up.

    `RunStore.open` writes, `RunStore.read` only looks. A result is on disk once `append` returns.
    """

    def __init__(
        self, path: Path, fingerprint: dict[str, JsonValue], results: Sequence[ExampleResult], *, writable: bool
    ) -> None:
        self.path = path
        self.fingerprint = fingerprint
        self._writable = writable
        self._lock = threading.Lock()
        self._results: dict[str, ExampleResult] = {}
        for result in results:
            if not self._is_done(result.id):
                self._results[result.id] = result

    @classmethod
    def open(cls, path: str | Path, fingerprint: Mapping[str, Any]) -> RunStore:
        """Starts a run in a new or empty folder, or goes on with the same run.

        Args:
            path: The folder.
            fingerprint: All that decides a result: task and its version, hash of the program, model, budgets, answer
                tokens, scorer. Two runs with the same one may share a folder.

        Raises:
            RunError: The folder holds another run or other files, was written by a newer version, is damaged, or
                cannot be written.
        """
        folder = Path(path)
        wanted = _as_json(fingerprint)
        with _disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / RUN).exists():
                if any(entry.name != _partial(folder / RUN).name for entry in folder.iterdir()):
                    raise RunError(f"{folder} holds files but no run: choose an empty folder")
                _write_json(folder / RUN, {"schema": SCHEMA, "fingerprint": wanted, "created": _origin()})
            found = _read_fingerprint(folder)
            _refuse_other_run(folder, found, wanted)
            return cls(folder, found, _read_results(folder / RESULTS, repair=True), writable=True)

    @classmethod
    def read(cls, path: str | Path) -> RunStore:
        """Opens a run that is there, changing nothing.

        Raises:
            RunError: There is no run, it was written by a newer version, or it is damaged.
        """
        folder = Path(path)
        with _disk(folder):
            if not (folder / RUN).is_file():
                raise RunError(f"{folder} holds no run: it has no {RUN}")
            return cls(folder, _read_fingerprint(folder), _read_results(folder / RESULTS, repair=False), writable=False)

    def done(self) -> set[str]:
        """Returns the ids of the examples that need not be run again: those with a result and no error."""
        with self._lock:
            return {example_id for example_id in self._results if self._is_done(example_id)}

    def results(self) -> list[ExampleResult]:
        """Returns one result an example, in the order in which examples first came in; a retry replaces its error."""
        with self._lock:
            return list(self._results.values())

    def append(self, result: ExampleResult) -> None:
        """Adds a result and waits until it is on disk; safe to call from several threads.

        An example that is already done keeps its first result: DSPy's parallel executor may run a slow one twice.

        Raises:
            RunError: The folder cannot be written, for instance because the disk is full; what was there stays whole.
        """
        line = as_line(asdict(result))
        with self._writing():
            if self._is_done(result.id):
                logger.debug("example %s is already in %s; its first result stands", result.id, self.path)
                return
            append_line(self.path / RESULTS, line)
            self._results[result.id] = result

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Writes `summary.json`, replacing the former one as a whole; a NaN becomes null.

        Raises:
            RunError: The folder cannot be written.
        """
        with self._writing():
            _write_json(self.path / SUMMARY, _as_json(summary))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if not self._writable:
            raise RunError(f"{self.path} was opened for reading: use RunStore.open to write to it")
        with self._lock, _disk(self.path):
            yield

    def _is_done(self, example_id: str) -> bool:
        known = self._results.get(example_id)
        return known is not None and known.error is None


def _as_json(value: Mapping[str, Any]) -> Any:
    return to_jsonable_python(value, inf_nan_mode="null", bytes_mode="base64", fallback=str)


def _encode(value: Any, indent: int | None = None) -> bytes:
    """JSON in UTF-8; half a surrogate pair, which models do write, becomes a question mark."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent).encode("utf-8", "replace")


def _origin() -> dict[str, str]:
    """Who wrote a run, for its reader; it decides nothing."""
    return {
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        **{name: version(name) for name in ("anytime-dspy", "dspy", "litellm")},
    }


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Turns what the operating system refuses into the one-line error of this library."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunError(f"the run folder {folder} cannot be used: {reason}; free space or choose another") from error


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _write_json(path: Path, value: Any) -> None:
    partial = _partial(path)
    with partial.open("wb") as file:
        file.write(_encode(value, indent=2) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _read_fingerprint(folder: Path) -> dict[str, JsonValue]:
    path = folder / RUN
    try:
        run = json.loads(path.read_bytes())
        schema, fingerprint = int(run["schema"]), dict(run["fingerprint"])
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({error!r}): restore it or choose another folder") from error
    if schema > SCHEMA:
        raise RunError(f"{path} has schema {schema}, this version knows up to {SCHEMA}: update anytime-dspy")
    return fingerprint


def _refuse_other_run(folder: Path, found: Mapping[str, JsonValue], wanted: Mapping[str, JsonValue]) -> None:
    for key in dict.fromkeys([*wanted, *found]):
        there, here = (json.dumps(run[key]) if key in run else "nothing" for run in (found, wanted))
        if there != here:
            raise RunError(f"{folder} holds another run: its {key} is {there}, not {here}; choose another folder")


def _read_results(path: Path, *, repair: bool) -> list[ExampleResult]:
    if not path.exists():
        return []
    content = path.read_bytes()
    *lines, torn = content.split(b"\n")
    if torn:
        logger.warning("the last line of %s was cut off while it was written; its example will be run again", path)
        if repair:
            os.truncate(path, len(content) - len(torn))
    return [_parse(path, number, line) for number, line in enumerate(lines, start=1)]


def _parse(path: Path, number: int, line: bytes) -> ExampleResult:
    try:
        return _LINE.validate_json(line, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        problem = f"{where}: {first['msg']}" if where else first["msg"]
        raise RunError(f"line {number} of {path} is no result ({problem}): restore or delete that line") from error
