from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from anytime_dspy.storage.results import ExampleResult
from tests.batch.sweeps import live, solver
from tests.fakes.batch_server import BatchServer


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer(solver) as server:
        yield server


@pytest.fixture(scope="module")
def collected() -> Iterator[None]:
    """Collects what litellm leaves: it makes a client for each call of the files and batches API, and closes none."""
    yield
    gc.collect()


@dataclass(frozen=True)
class LiveRun:
    """A live sweep, and what it took."""

    folder: Path
    results: list[ExampleResult]
    calls: int
    billed: int


@pytest.fixture(scope="session")
def live_run(tmp_path_factory: pytest.TempPathFactory) -> LiveRun:
    """What jobs have to bring too."""
    folder = tmp_path_factory.mktemp("live")
    with BatchServer(solver) as server:
        results = live(server.url, folder)
        return LiveRun(folder, results, len(server.received), server.billed)
