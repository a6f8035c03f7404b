"""The folder of a run: what was measured, kept line by line so that a killed run goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import JsonValue, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from anytime_dspy.checkpoint import AnswerState, Checkpoint, Usage, answer_state
from anytime_dspy.errors import RunError
from anytime_dspy.storage.jsonl import SharedLines, content_hash, json_line, lock_path, write_json

__all__ = ["Busy", "ExampleResult", "ScoredCheckpoint", "RunStore", "result_from"]

logger = logging.getLogger(__name__)

SCHEMA = 2
Busy = Timeout
"""Raised where an example is being run by another process, and waiting for it was not asked for."""

RUN, RESULTS, SUMMARY = "run.json", "results.jsonl", "summary.json"


@dataclass(frozen=True)
class ScoredCheckpoint:
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
        censored: Whether an answer filled its allowance before it was complete; not known of runs of older versions.
    """

    budget: int
    quality: float
    prediction: dict[str, JsonValue]
    reasoning_tokens: int
    answer_tokens: int
    forced: bool
    answered: bool
    usage: Usage
    censored: bool = False

    @property
    def state(self) -> AnswerState:
        """What the answer is; see `Checkpoint.state`."""
        return answer_state(answered=self.answered, censored=self.censored)


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
    points: tuple[ScoredCheckpoint, ...]
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
            ScoredCheckpoint(
                budget=checkpoint.budget,
                quality=quality,
                prediction=_as_json(dict(checkpoint.prediction.items())),
                reasoning_tokens=checkpoint.reasoning_tokens,
                answer_tokens=checkpoint.answer_tokens,
                forced=checkpoint.forced,
                answered=checkpoint.answered,
                usage=checkpoint.usage,
                censored=checkpoint.censored,
            )
            for checkpoint, quality in zip(checkpoints, qualities, strict=True)
        ),
        trace=tuple(_as_json(call) for call in trace),
    )


class RunStore:
    """A run's folder: `run.json` says what is measured, `results.jsonl` has a line an example, `summary.json` sums up.

    `RunStore.open` writes, `RunStore.read` only looks. A result is on disk once `append` returns. Each line is sealed
    with a hash of itself and of the run's description, so that neither can be edited, or brought in from another run,
    without being noticed.

    Attributes:
        path: The folder.
        fingerprint: All that decides a result.
        created: When it was begun and with which versions; it decides nothing.
    """

    def __init__(self, path: Path, description: _Description, *, writable: bool) -> None:
        self.path = path
        self.fingerprint = description.fingerprint
        self.created = description.created
        self._writable = writable
        self._seal = _Seal(path / RESULTS, description.fingerprint)
        self._lines = SharedLines(path / RESULTS, self._seal.read)
        self._results: dict[str, ExampleResult] = {}
        if writable:
            with self._writing():
                self._learn(self._lines.new_lines())
        else:
            self._learn(self._lines.peek())

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
            _refuse_other_files(folder)
            with FileLock(lock_path(folder / RESULTS)):  # two may begin the same run at once
                if not (folder / RUN).exists():
                    write_json(folder / RUN, {"schema": SCHEMA, "fingerprint": wanted, "created": _origin()})
            description = _read_description(folder)
            _refuse_other_run(folder, description.fingerprint, wanted)
            return cls(folder, description, writable=True)

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
            return cls(folder, _read_description(folder), writable=False)

    def done(self) -> set[str]:
        """Returns the ids of the examples that need not be run again: those with a result and no error."""
        return {result.id for result in self.results() if result.error is None}

    def results(self) -> list[ExampleResult]:
        """Returns one result an example, in the order in which examples first came in; a retry replaces its error.

        What another process has added is there once `append` or `turn` has been used since.
        """
        return list(self._results.values())

    def append(self, result: ExampleResult) -> None:
        """Adds a result and waits until it is on disk; safe to call from several threads and processes.

        An example that is already done keeps its first result, whoever it is from.

        Raises:
            RunError: The folder cannot be written, for instance because the disk is full, or what another process has
                added is damaged; what was there stays whole.
        """
        line = self._seal.line(result)
        with self._writing():
            self._learn(self._lines.new_lines())
            if self._is_done(result.id):
                logger.debug("example %s is already in %s; its first result stands", result.id, self.path)
                return
            self._lines.append(line)
            self._learn([result])

    @contextmanager
    def claim(self, example_id: str, *, wait: bool) -> Iterator[ExampleResult | None]:
        """Keeps others off an example inside the block, and yields its result where somebody has run it already.

        The operating system takes the turn back when its process dies.

        Args:
            example_id: The example.
            wait: Whether to wait while another process, or thread, runs it.

        Raises:
            Busy: Another one runs it, and waiting was not asked for.
            RunError: The folder cannot be written, or what another process has added is damaged.
        """
        path = self.path / f".{content_hash(example_id)}.turn"
        claim = FileLock(path)
        try:
            claim.acquire(blocking=wait)
        except Busy:  # an OSError too
            raise
        except OSError as error:
            raise _unusable(self.path, error) from error
        try:
            with self._writing():
                self._learn(self._lines.new_lines())
            known = self._results.get(example_id)
            yield known if self._is_done(example_id) else None
        finally:
            # Whoever waits for this very file, or makes a new one, looks for a result before anything else.
            with suppress(OSError):
                path.unlink()
            claim.release()

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Writes `summary.json`, replacing the former one as a whole; a NaN becomes null.

        Raises:
            RunError: The folder cannot be written.
        """
        with self._writing():
            write_json(self.path / SUMMARY, summary)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        if not self._writable:
            raise RunError(f"{self.path} was opened for reading: use RunStore.open to write to it")
        with _disk(self.path), self._lines.exclusive():
            yield

    def _learn(self, results: Iterable[ExampleResult]) -> None:
        for result in results:
            if not self._is_done(result.id):
                self._results[result.id] = result

    def _is_done(self, example_id: str) -> bool:
        known = self._results.get(example_id)
        return known is not None and known.error is None


def _as_json(value: Mapping[str, Any]) -> Any:
    return to_jsonable_python(value, inf_nan_mode="null", bytes_mode="base64", fallback=str)


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
        raise _unusable(folder, error) from error


def _unusable(folder: Path, error: OSError) -> RunError:
    return RunError(f"the run folder {folder} cannot be used: {error.strerror or error}; free space or choose another")


@dataclass(frozen=True)
class _Description:
    """What `run.json` says."""

    fingerprint: dict[str, JsonValue]
    created: dict[str, JsonValue]


def _read_description(folder: Path) -> _Description:
    path = folder / RUN
    try:
        run = json.loads(path.read_bytes())
        schema, description = int(run["schema"]), _Description(dict(run["fingerprint"]), dict(run["created"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(f"{path} is damaged ({error!r}): restore it or choose another folder") from error
    if schema > SCHEMA:
        raise RunError(f"{path} has schema {schema}, this version knows up to {SCHEMA}: update anytime-dspy")
    if schema < SCHEMA:
        raise RunError(f"{path} has schema {schema}, which is no longer read: measure again in another folder")
    return description


def _refuse_other_files(folder: Path) -> None:
    """Refuses a folder of somebody else's; what was left of a first write, its own or another process's, is none."""
    ours = (f".{RUN}.*part", lock_path(folder / RESULTS).name)
    names = [entry.name for entry in folder.iterdir()]
    if RUN not in names and not all(any(fnmatch(name, pattern) for pattern in ours) for name in names):
        raise RunError(f"{folder} holds files but no run: choose an empty folder")


def _refuse_other_run(folder: Path, found: Mapping[str, JsonValue], wanted: Mapping[str, JsonValue]) -> None:
    for key in dict.fromkeys([*wanted, *found]):
        there, here = (json.dumps(run[key]) if key in run else "nothing" for run in (found, wanted))
        if there != here:
            raise RunError(f"{folder} holds another run: its {key} is {there}, not {here}; choose another folder")


class _Seal:
    """Turns results into lines that are tied to their run, and back."""

    def __init__(self, path: Path, fingerprint: Mapping[str, JsonValue]) -> None:
        self.path = path
        self._run = hashlib.sha256(content_hash(fingerprint).encode())

    def line(self, result: ExampleResult) -> str:
        """Returns the line of a result: a JSON object whose last key is the seal."""
        text = json_line(asdict(result)).rstrip("\n")
        return text[:-1] + self._end(text.encode("utf-8", "replace")).decode() + "\n"

    def read(self, number: int, line: bytes) -> ExampleResult:
        """Returns the result of a line.

        Raises:
            RunError: The line is no result, was edited, or is another run's.
        """
        try:
            result = _LINE.validate_json(line, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise self._refusal(number, f"{where}: {first['msg']}" if where else first["msg"]) from error
        end = len(self._end(b""))
        if line[-end:] != self._end(line[:-end] + b"}"):
            raise self._refusal(number, "it was edited, or is another run's")
        return result

    def _end(self, text: bytes) -> bytes:
        digest = self._run.copy()
        digest.update(text)
        return b', "seal": "%s"}' % digest.hexdigest()[:16].encode()

    def _refusal(self, number: int, problem: str) -> RunError:
        return RunError(f"line {number} of {self.path} is no result of this run ({problem}): restore or delete it")
