"""The folder of a run: what was measured, kept line by line so that a killed run goes on where it stopped."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from anytime_dspy.errors import RunError
from anytime_dspy.storage.description import (
    RUN,
    Description,
    origin,
    read_description,
    refuse_other_run,
    write_description,
)
from anytime_dspy.storage.jsonl import SharedLines, content_hash, lock_path, write_json, write_text
from anytime_dspy.storage.results import ExampleResult, Point, as_json, result_from
from anytime_dspy.storage.seal import Seal
from anytime_dspy.storage.shards import DataShard

__all__ = ["PLACES", "RESULTS", "RUN", "Busy", "ExampleResult", "Point", "RunStore", "result_from"]

logger = logging.getLogger(__name__)

Busy = Timeout
"""Raised where an example is being run by another process, and waiting for it was not asked for."""

RESULTS, SUMMARY, PLACES = "results.jsonl", "summary.json", "places.txt"


class RunStore:
    """A run's folder: `run.json` says what is measured, `results.jsonl` has a line an example, `summary.json` sums up.

    `RunStore.open` writes, `RunStore.read` only looks. A result is on disk once `append` returns. Each line is sealed
    with a hash of itself and of the run's description, so that neither can be edited, or brought in from another run,
    without being noticed.

    Attributes:
        path: The folder.
        fingerprint: All that decides a result.
        created: When it was begun and with which versions; it decides nothing.
        shard: Which examples of the data it is for, where a sweep is split.
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
                self._learn(self._lines.news())
        else:
            self._learn(self._lines.whole())

    @classmethod
    def open(cls, path: str | Path, fingerprint: Mapping[str, Any], shard: DataShard | None = None) -> RunStore:
        """Starts a run in a new or empty folder, or goes on with the same run.

        Args:
            path: The folder.
            fingerprint: All that decides a result: task and its version, hash of the program, model, budgets, answer
                tokens, scorer. Two runs with the same one may share a folder.
            shard: Which examples of the data the folder is for, where a sweep is split; `sweep` takes no others.

        Raises:
            RunError: The folder holds another run or other files, was written by a newer version, is damaged, or
                cannot be written.
        """
        folder = Path(path)
        wanted = Description(as_json(fingerprint), origin(), shard)
        with _disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
            _refuse_other_files(folder)
            with FileLock(lock_path(folder / RESULTS)):  # two may begin the same run at once
                if not (folder / RUN).exists():
                    write_description(folder, wanted)
            description = read_description(folder)
            refuse_other_run(folder, description, wanted)
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
            return cls(folder, read_description(folder), writable=False)

    def done(self) -> set[str]:
        """Returns the ids of the examples that need not be run again: those with a result and no error."""
        return {result.id for result in self.results() if result.error is None}

    def results(self) -> list[ExampleResult]:
        """Returns one result an example, in the order in which examples first came in; a retry replaces its error.

        After `finish` it is the order of the data. What another process has added is there once `append` or `turn` has
        been used since.
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
            self._learn(self._lines.news())
            if self._is_done(result.id):
                logger.debug("example %s is already in %s; its first result stands", result.id, self.path)
                return
            self._lines.append(line)
            self._learn([result])

    @contextmanager
    def turn(self, example_id: str, *, wait: bool) -> Iterator[ExampleResult | None]:
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
                self._learn(self._lines.news())
            known = self._results.get(example_id)
            yield known if self._is_done(example_id) else None
        finally:
            # Whoever waits for this very file, or makes a new one, looks for a result before anything else.
            with suppress(OSError):
                path.unlink()
            claim.release()

    def finish(self, example_ids: Sequence[str]) -> None:
        """Puts the lines into the order of the data, one an example, whatever order they came in.

        So the file of a run does not depend on how many examples ran at the same time, and a shard's says at which
        places of the data its examples are, which is what `merge` needs.

        Args:
            example_ids: Of the whole data set, in its order. Results of other examples follow as they are.

        Raises:
            RunError: The folder cannot be written, or what another process has added is damaged.
        """
        with self._writing():
            self._results = {}
            standing: dict[str, int] = {}
            for number, result in enumerate(self._lines.again(), start=1):
                if not self._is_done(result.id):
                    self._learn([result])
                    standing[result.id] = number
            places = [place for place, example_id in enumerate(example_ids) if example_id in standing]
            order = dict.fromkeys([*(example_ids[place] for place in places), *standing])
            self._lines.rearrange([standing[example_id] for example_id in order])
            self._results = {example_id: self._results[example_id] for example_id in order}
            if self.shard:
                write_text(self.path / PLACES, "".join(f"{place}\n" for place in places))

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
        with _disk(self.path), self._lines.alone():
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
    """Turns what the operating system refuses into the one-line error of this library."""
    try:
        yield
    except OSError as error:
        raise _unusable(folder, error) from error


def _unusable(folder: Path, error: OSError) -> RunError:
    return RunError(f"the run folder {folder} cannot be used: {error.strerror or error}; free space or choose another")


def _refuse_other_files(folder: Path) -> None:
    """Refuses a folder of somebody else's; what was left of a first write, its own or another process's, is none."""
    ours = (f".{RUN}.*part", lock_path(folder / RESULTS).name)
    names = [entry.name for entry in folder.iterdir()]
    if RUN not in names and not all(any(fnmatch(name, pattern) for pattern in ours) for name in names):
        raise RunError(f"{folder} holds files but no run: choose an empty folder")
