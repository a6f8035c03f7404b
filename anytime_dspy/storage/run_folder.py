"""The folder of a run: results are appended line by line, so that a killed run resumes where it stopped."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import datetime, timezone
from fnmatch import fnmatch
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout
from pydantic import JsonValue, TypeAdapter, ValidationError

from anytime_dspy.errors import RunError
from anytime_dspy.storage.jsonl import SharedLines, as_json, content_hash, json_line, lock_path, write_json
from anytime_dspy.storage.results import ExampleResult

__all__ = ["Busy", "RunStore"]

logger = logging.getLogger(__name__)

SCHEMA = 2
Busy = Timeout
"""Raised where another process runs an example and waiting was not asked for."""

RUN, RESULTS, SUMMARY = "run.json", "results.jsonl", "summary.json"

_LINE: TypeAdapter[ExampleResult] = TypeAdapter(ExampleResult)


class _Description(NamedTuple):
    """The content of `run.json`."""

    fingerprint: dict[str, JsonValue]
    created: dict[str, JsonValue]


class RunStore:
    """A run's folder: its description in `run.json`, one line per example in `results.jsonl`, and `summary.json`.

    Open one with `RunStore.open` to write to it, or with `RunStore.read`. A result is on disk once `append` returns.
    Each line is sealed with a hash of itself and of the run's fingerprint: a line that was edited, or copied from
    another run, raises when it is read.

    Attributes:
        path: The folder.
        fingerprint: All that decides a result.
        created: When the run was started, and with which versions.
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
        """Starts a run in a new or empty folder, or resumes the same run.

        Args:
            path: The folder.
            fingerprint: All that decides a result: the task and its version, a hash of the program, the model, the
                budgets, the answer tokens, the scorer. Runs with the same fingerprint may share a folder.

        Raises:
            RunError: The folder holds another run or other files, was written by a newer version, is damaged, or
                cannot be written.
        """
        folder = Path(path)
        wanted = as_json(fingerprint)
        with _disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _refuse_other_files(folder)
            with FileLock(lock_path(folder / RESULTS)):  # two processes may start the same run at once
                if not (folder / RUN).exists():
                    write_json(folder / RUN, {"schema": SCHEMA, "fingerprint": wanted, "created": _origin()})
            description = _read_description(folder)
            _refuse_other_run(folder, description.fingerprint, wanted)
            return cls(folder, description, writable=True)

    @classmethod
    def read(cls, path: str | Path) -> RunStore:
        """Opens an existing run for reading.

        Raises:
            RunError: There is no run, it was written by a newer version, or it is damaged.
        """
        folder = Path(path)
        with _disk(folder):
            if not (folder / RUN).is_file():
                raise RunError(f"{folder} holds no run: it has no {RUN}")
            return cls(folder, _read_description(folder), writable=False)

    def done(self) -> set[str]:
        """Returns the ids of the examples that have a result without an error."""
        return {result.id for result in self.results() if result.error is None}

    def results(self) -> list[ExampleResult]:
        """Returns one result per example, in the order in which the examples were first added.

        Results of other processes are read by `append` and `claim`.
        """
        return list(self._results.values())

    def append(self, result: ExampleResult) -> None:
        """Appends a result and waits until it is on disk; safe to call from several threads and processes.

        A result replaces an error; otherwise an example keeps its first result, whichever process it is from.

        Raises:
            RunError: The folder cannot be written, for example because the disk is full, or a line of another process
                is damaged. The earlier lines are not affected.
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
        """Claims an example for this thread inside the block, and yields its result if it has one already.

        The operating system releases the claim when its process dies.

        Args:
            example_id: The example.
            wait: Whether to wait while another thread or process runs the example.

        Raises:
            Busy: Another one runs it, and `wait` is False.
            RunError: The folder cannot be written, or a line of another process is damaged.
        """
        path = self.path / f".{content_hash(example_id)}.turn"
        lock = FileLock(path)
        with _disk(self.path):
            lock.acquire(blocking=wait)
        try:
            with self._writing():
                self._learn(self._lines.new_lines())
            known = self._results.get(example_id)
            yield known if self._is_done(example_id) else None
        finally:
            # Whoever waits for this file, or creates a new one, looks for a result first.
            with suppress(OSError):
                path.unlink()
            lock.release()

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Writes `summary.json` atomically; NaN becomes null.

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


def _origin() -> dict[str, str]:
    """When and with which versions a run was started."""
    return {
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        **{name: version(name) for name in ("anytime-dspy", "dspy", "litellm")},
    }


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Turns the operating system's errors into a `RunError`."""
    try:
        yield
    except Busy:  # an OSError too
        raise
    except OSError as error:
        why = error.strerror or error
        raise RunError(f"the run folder {folder} cannot be used: {why}; free space or choose another") from error


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
    """Raises if a folder holds files but no run; what an interrupted first write left does not count."""
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
    """Writes results as lines that are sealed for their run, and reads them."""

    def __init__(self, path: Path, fingerprint: Mapping[str, JsonValue]) -> None:
        self.path = path
        self._run = hashlib.sha256(content_hash(fingerprint).encode())

    def line(self, result: ExampleResult) -> str:
        """Returns the line of a result: a JSON object whose last key is the seal."""
        kept = asdict(result)
        kept["points"] = [{"budget": one["budget"], "quality": one["quality"], **one} for one in kept["points"]]
        text = json_line(kept).rstrip("\n")
        return text[:-1] + self._end(text.encode("utf-8", "replace")).decode() + "\n"

    def read(self, number: int, line: bytes) -> ExampleResult:
        """Parses a line.

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
