"""Merges the run folders of all shards into the run that one sweep would have written."""

from __future__ import annotations

import heapq
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from anytime_dspy.errors import RunError
from anytime_dspy.storage.description import RUN, Description, read_description, write_description
from anytime_dspy.storage.jsonl import reading, writing
from anytime_dspy.storage.run_folder import PLACES, RESULTS
from anytime_dspy.storage.seal import Seal
from anytime_dspy.storage.shards import DataHash, DataShard

__all__ = ["check_shards", "merge"]

CHUNK = 1 << 17
"""Bytes of a file that are read at a time."""


@dataclass(frozen=True)
class _Source:
    """A shard's run folder."""

    folder: Path
    description: Description
    shard: DataShard

    @classmethod
    def at(cls, folder: Path) -> _Source:
        if not (folder / RUN).is_file():
            raise RunError(f"{folder} holds no run: it has no {RUN}")
        with writing(folder):
            description = read_description(folder)
        if description.shard is None:
            raise RunError(f"{folder} is no shard of a run but a whole one: there is nothing to merge it with")
        return cls(folder, description, description.shard)


class _Line(NamedTuple):
    """A line of a shard's results; sorted by its place in the data."""

    place: int
    example_id: str
    content: bytes


def check_shards(folders: Sequence[Path]) -> DataShard:
    """Checks that the shards make up a whole run, without reading their results, and returns the first one.

    Raises:
        RunError: A shard is missing, named twice, or of another run.
    """
    return _checked(folders)[0].shard


def merge(out: Path, folders: Sequence[Path], on_line: Callable[[], None] = lambda: None) -> None:
    """Writes the run that one sweep without shards would have written, byte for byte.

    Lines are copied one at a time, in the order of the data, so that memory does not grow with their number. The seal
    of each line is checked, and that every example of the data is there exactly once.

    Args:
        out: A new or empty folder.
        folders: The run folders of all shards, in any order.
        on_line: Called after each line.

    Raises:
        RunError: A shard is missing, named twice, not finished, damaged or of another run, or a folder cannot be read
            or written. `out` is not changed.
    """
    sources = _checked(folders)
    first = min((source.description for source in sources), key=lambda said: str(said.created.get("at")))
    with _new_folder(out) as folder:
        with (folder / RESULTS).open("wb") as results:
            for line in _lines(sources):
                results.write(line)
                on_line()
            results.flush()
            os.fsync(results.fileno())
        write_description(folder, Description(first.fingerprint, first.created))


def _checked(folders: Sequence[Path]) -> list[_Source]:
    """Returns the sources in the order of their shards, after a check that they are all shards of one run."""
    sources = [_Source.at(folder) for folder in folders]
    if not sources:
        raise RunError("there is nothing to merge: name the folders of all shards")
    first, *others = sources
    found = {first.shard.index: first}
    for other in others:
        _refuse_foreign(first, other)
        if other.shard.index in found:
            raise RunError(
                f"{found[other.shard.index].folder} and {other.folder} are the same shard, "
                f"{other.shard.index}/{other.shard.count}: name each once"
            )
        found[other.shard.index] = other
    missing = [str(index) for index in range(1, first.shard.count + 1) if index not in found]
    if missing:
        listed = ", ".join(missing[:8]) + (" and others" if len(missing) > 8 else "")
        raise RunError(f"of {first.shard.count} shards these are missing: {listed}; name their folders too")
    return [found[index] for index in sorted(found)]


def _refuse_foreign(first: _Source, other: _Source) -> None:
    here, there = first.description.fingerprint, other.description.fingerprint
    for key in dict.fromkeys([*here, *there]):
        if here.get(key) != there.get(key):
            raise RunError(f"{other.folder} is of another run than {first.folder}: its {key} is another")
    if (first.shard.count, first.shard.examples, first.shard.data) != (
        other.shard.count,
        other.shard.examples,
        other.shard.data,
    ):
        raise RunError(
            f"{first.folder} and {other.folder} are no shards of one sweep: one is {first.shard}, one {other.shard}"
        )


def _lines(sources: Sequence[_Source]) -> Iterator[bytes]:
    """Yields the lines of all shards in the order of the data."""
    whole = sources[0].shard
    seen = DataHash()
    count = 0
    for line in heapq.merge(*map(_lines_of, sources)):
        if line.place != count:
            raise RunError(f"the shards hold example {line.place + 1} of the data where {count + 1} should be: {AGAIN}")
        seen.add(line.example_id)
        count += 1
        yield line.content
    if (count, seen.value) != (whole.examples, whole.data):
        raise RunError(f"the shards hold {count} examples that are not the {whole.examples} of their data: {AGAIN}")


AGAIN = "give the command of each shard again, with an empty folder where that does not help"


def _lines_of(source: _Source) -> Iterator[_Line]:
    path = source.folder / RESULTS
    seal = Seal(path, source.description.fingerprint)
    unfinished = RunError(f"{source.folder} is not finished: give the command of shard {source.shard.index} again")
    if not (source.folder / PLACES).is_file():
        raise unfinished
    previous = -1
    pairs = zip_longest(_chunked(source.folder / PLACES), _chunked(path))
    for number, (place, line) in enumerate(pairs, start=1):
        if place is None or line is None or not line.endswith(b"\n"):
            raise unfinished
        example_id = seal.example_id(number, line[:-1])
        if not source.shard.takes(example_id):
            raise RunError(f"line {number} of {path} is of another shard: delete it")
        with reading(source.folder / PLACES):
            here = int(place)
        if here <= previous:
            raise RunError(f"line {number} of {source.folder / PLACES} is damaged: {AGAIN}")
        previous = here
        yield _Line(here, example_id, line)


def _chunked(path: Path) -> Iterator[bytes]:
    """Yields the lines of a file, which is not kept open: a process may open fewer files than there are shards."""
    start = 0
    while path.exists():  # a shard without examples has no results
        with reading(path), path.open("rb") as file:
            file.seek(start)
            lines = file.readlines(CHUNK)
            start = file.tell()
        if not lines:
            return
        yield from lines


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Yields a temporary folder, which is renamed to `out` at the end of the block if nothing was raised in it."""
    with writing(out):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise RunError(f"{out} is not empty: merge into a new folder")
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
        try:
            whole = partial / out.name  # mkdtemp would let nobody else read it
            whole.mkdir()
            yield whole
            if out.exists():
                out.rmdir()
            whole.rename(out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
