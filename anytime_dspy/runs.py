"""Runs as they lie on disk: found, read, and only put side by side where that means something."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from anytime_dspy.errors import RunError
from anytime_dspy.store import RESULTS, RUN, ExampleResult, RunStore

__all__ = ["Run", "check_comparable", "read_runs"]

# What decides what a quality means: runs that differ here measured different things.
_SAME = ("task", "task version", "scorer", "budgets")


@dataclass(frozen=True)
class Run:
    """One program's sweep.

    Attributes:
        label: What it is called: its folder, from where the runs' folders part.
        fingerprint: All that decided its results.
        created: When it was begun and with which versions.
        results: One an example.
    """

    label: str
    fingerprint: Mapping[str, JsonValue]
    created: Mapping[str, JsonValue]
    results: tuple[ExampleResult, ...]


def read_runs(folders: Sequence[Path]) -> tuple[Run, ...]:
    """Reads the runs of some folders: of a sweep its own, of a compile those before and after, oldest first.

    Raises:
        RunError: A folder holds no run, is named twice or is damaged, or nothing was measured yet.
    """
    found = [path for folder in folders for path in _run_folders(folder)]
    real = [str(path.resolve()) for path in found]
    for path in found:
        if real.count(str(path.resolve())) > 1:
            raise RunError(f"{path} is named twice: name each run once")
    shared = os.path.commonpath([os.path.dirname(path) for path in real])
    return tuple(_read(path, label=os.path.relpath(where, shared)) for path, where in zip(found, real, strict=True))


def check_comparable(runs: Sequence[Run]) -> None:
    """Refuses runs that differ in their task, its version, the scorer or the budgets.

    Raises:
        RunError: Two runs differ there.
    """
    first, *others = runs
    for other in others:
        for key in _SAME:
            here, there = (json.dumps(run.fingerprint.get(key)) for run in (first, other))
            if here != there:
                raise RunError(
                    f"{first.label} and {other.label} cannot be compared: the {key} of one is {here}, of the other "
                    f"{there}; measure both alike"
                )


def _run_folders(folder: Path) -> list[Path]:
    if not (folder / RUN).is_file():
        raise RunError(f"{folder} holds no run: it has no {RUN}")
    if (folder / RESULTS).exists():
        return [folder]
    inner = [path.parent for path in folder.glob(f"*/{RUN}") if (path.parent / RESULTS).exists()]
    if not inner:
        raise RunError(f"{folder} has no results yet: give its command again")
    return sorted(inner, key=lambda path: ((path / RUN).stat().st_mtime_ns, path.name))


def _read(path: Path, *, label: str) -> Run:
    store = RunStore.read(path)
    results = tuple(store.results())
    if all(result.error is not None for result in results):
        raise RunError(f"{path} has no results yet: give its command again")
    return Run(label, store.fingerprint, store.created, results)
