"""Runs as they lie on disk: found, read, and only put side by side where that means something."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from anytime_dspy.errors import RunError
from anytime_dspy.storage.run_folder import RESULTS, RUN, ExampleResult, RunStore

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


def _stores(folder: Path) -> list[RunStore]:
    if not (folder / RUN).is_file():
        raise RunError(f"{folder} holds no run: it has no {RUN}")
    inner = [] if (folder / RESULTS).exists() else [path.parent for path in folder.glob(f"*/{RESULTS}")]
    stores = [RunStore.read(path) for path in inner or [folder]]
    for store in stores:
        if all(result.error is not None for result in store.results()):
            raise RunError(f"{store.path} has no results yet: give its command again")
    return sorted(stores, key=_begun)


def _begun(store: RunStore) -> tuple[str, int]:
    """The time that was written down: a copied folder has new times of its own. Two within a second keep theirs."""
    return str(store.created.get("at")), (store.path / RUN).stat().st_mtime_ns
