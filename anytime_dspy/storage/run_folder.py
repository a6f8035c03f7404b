"""The folder of a run: results are appended line by line, so that a killed run resumes where it stopped."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from filelock import FileLock

from anytime_dspy.errors import RunError
from anytime_dspy.storage.description import (
    RUN,
    Description,
    origin,
    read_description,
    refuse_other_run,
    write_description,
)
from anytime_dspy.storage.jsonl import as_json, content_hash, write_json, write_text
from anytime_dspy.storage.locks import Busy
from anytime_dspy.storage.results import ExampleResult
from anytime_dspy.storage.seal import Seal
from anytime_dspy.storage.shards import DataShard
from anytime_dspy.storage.shared_lines import SharedLines, lock_path

__all__ = ["PLACES", "RESULTS", "RunStore"]

logger = logging.getLogger(__name__)

RESULTS, SUMMARY, PLACES = "results.jsonl", "summary.json", "places.txt"


class RunStore:
    """A run's folder: its description in `run.json`, one line per example in `results.jsonl`, and `summary.json`.

    Open one with `RunStore.open` to write to it, or with `RunStore.read`. A result is on disk once `append` returns.
    Each line is sealed with a hash of itself and of the run's fingerprint: a line that was edited, or copied from
    another run, raises when it is read.

    Attributes:
        path: The folder.
        fingerprint: All that decides a result.
        created: When the run was started, and with which versions.
        shard: The part of the data that the folder is for, if the sweep is split.
    """

    def __init__(self, path: Path, description: Description, *, writable: bool) -> None:
        self.path = path
        self.fingerprint = description.fingerprint
        self.created = description.created
        self.shard = description.shard
        self._writable = writable
        self._seal = Seal(path / RESULTS, description.fingerprint)
        self._lines = SharedLines(path / RESULTS, self._seal.read)
        self._results: dict[str, ExampleResult] = {}
        if writable:
            with self._writing():
                self._learn(self._lines.new_lines())
        else:
            self._learn(self._lines.peek())

    @classmethod
    def open(cls, path: str | Path, fingerprint: Mapping[str, Any], shard: DataShard | None = None) -> RunStore:
        """Starts a run in a new or empty folder, or resumes the same run.

        Args:
            path: The folder.
            fingerprint: All that decides a result: the task and its version, a hash of the program, the model, the
                budgets, the answer tokens, the scorer. Runs with the same fingerprint may share a folder.
            shard: The part of the data that the folder is for, if the sweep is split; `sweep` runs no other examples.

        Raises:
            RunError: The folder holds another run or other files, was written by a newer version, is damaged, or
                cannot be written.
        """
        folder = Path(path)
        wanted = Description(as_json(fingerprint), origin(), shard)
        with _disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _refuse_other_files(folder)
            with FileLock(lock_path(folder / RESULTS)):  # two processes may start the same run at once
                if not (folder / RUN).exists():
                    write_description(folder, wanted)
            description = read_description(folder)
            refuse_other_run(folder, description, wanted)
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
            return cls(folder, read_description(folder), writable=False)

    def done(self) -> set[str]:
        """Returns the ids of the examples that have a result without an error."""
        return {result.id for result in self.results() if result.error is None}

    def results(self) -> list[ExampleResult]:
        """Returns one result per example, in the order in which the examples were first added.

        After `finish` it is the order of the data. Results of other processes are read by `append` and `claim`.
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

    def finish(self, example_ids: Sequence[str]) -> None:
        """Puts the lines into the order of the data, one per example.

        So a run's file does not depend on which examples ran at the same time. A shard's folder also gets `places.txt`,
        the positions of its examples in the data, which `merge` needs.

        Args:
            example_ids: The ids of the whole data set, in its order. Results of other examples follow.

        Raises:
            RunError: The folder cannot be written, or a line of another process is damaged.
        """
        with self._writing():
            self._results = {}
            line_of: dict[str, int] = {}
            for number, result in enumerate(self._lines.all_lines(), start=1):
                if not self._is_done(result.id):
                    self._learn([result])
                    line_of[result.id] = number
            places = [place for place, example_id in enumerate(example_ids) if example_id in line_of]
            order = dict.fromkeys([*(example_ids[place] for place in places), *line_of])
            self._lines.rearrange([line_of[example_id] for example_id in order])
            self._results = {example_id: self._results[example_id] for example_id in order}
            if self.shard:
                write_text(self.path / PLACES, "".join(f"{place}\n" for place in places))

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


def _refuse_other_files(folder: Path) -> None:
    """Raises if a folder holds files but no run; what an interrupted first write left does not count."""
    ours = (f".{RUN}.*part", lock_path(folder / RESULTS).name)
    names = [entry.name for entry in folder.iterdir()]
    if RUN not in names and not all(any(fnmatch(name, pattern) for pattern in ours) for name in names):
        raise RunError(f"{folder} holds files but no run: choose an empty folder")
