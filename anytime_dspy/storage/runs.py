"""Finds and reads runs on disk, and checks that they can be compared."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from anytime_dspy.errors import RunError
from anytime_dspy.storage.description import RUN
from anytime_dspy.storage.results import ExampleResult
from anytime_dspy.storage.run_folder import RESULTS, RunStore

__all__ = ["Run", "check_comparable", "read_runs"]

# The parts of a fingerprint that give a quality its meaning.
_SAME = ("task", "task version", "scorer", "budgets")


@dataclass(frozen=True)
class Run:
    """The sweep of one program.

    Attributes:
        label: Its folder, relative to the common parent of all runs.
        fingerprint: All that decided its results.
        created: When it was started, and with which versions.
        results: One per example.
    """

    label: str
    fingerprint: Mapping[str, JsonValue]
    created: Mapping[str, JsonValue]
    results: tuple[ExampleResult, ...]


def read_runs(folders: Sequence[Path]) -> tuple[Run, ...]:
    """Reads the runs of folders: the one of a sweep, those before and after of a compile, oldest first.

    Raises:
        RunError: A folder has no run, is named twice or is damaged, or has no results yet.
    """
    stores = [store for folder in folders for store in _stores(folder)]
    real = [str(store.path.resolve()) for store in stores]
    for path in real:
        if real.count(path) > 1:
            raise RunError(f"{path} is named twice: name each run once")
    shared = os.path.commonpath([os.path.dirname(path) for path in real])
    return tuple(
        Run(os.path.relpath(path, shared), store.fingerprint, store.created, tuple(store.results()))
        for path, store in zip(real, stores, strict=True)
    )


def check_comparable(runs: Sequence[Run]) -> None:
    """Checks that runs have the same task, version of the task, scorer and budgets.

    Raises:
        RunError: They do not.
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


def _stores(folder: Path) -> list[RunStore]:
    if not (folder / RUN).is_file():
        raise RunError(f"{folder} holds no run, it has no {RUN}: name the folder of a sweep, a compile or a demo")
    inner = [] if (folder / RESULTS).exists() else [path.parent for path in folder.glob(f"*/{RESULTS}")]
    stores = [RunStore.read(path) for path in inner or [folder]]
    for store in stores:
        if all(result.error is not None for result in store.results()):
            raise RunError(f"{store.path} has no results yet: give its command again")
    return sorted(stores, key=_begun)


def _begun(store: RunStore) -> tuple[str, int]:
    """Returns the recorded time of a run, since a copied folder has new file times; these order runs of one second."""
    return str(store.created.get("at")), (store.path / RUN).stat().st_mtime_ns
