"""Processes that are killed while their jobs are under way, and two at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from anytime_dspy.errors import RunError
from tests.batch.sweeps import MARKS, swept
from tests.fakes import processes
from tests.fakes.batch_server import BatchServer
from tests.fakes.http_server import Fault
from tests.fakes.numbered import timeless

pytestmark = [*MARKS, pytest.mark.slow]


def begun(server: BatchServer, folder: Path, is_there: Callable[[], object]) -> BaseProcess:
    """Starts a sweep in a process of its own, and returns it when it is so far."""
    process = processes.begun(swept, server.url, folder)
    while not is_there():
        assert process.is_alive()
        time.sleep(0.005)
    return process


@pytest.mark.parametrize(
    "at",
    [("POST", "/batches"), ("GET", "/batches/batch_1"), ("GET", "/files/file-4/content")],
    ids=["before the id is heard of", "between submission and poll", "at the second job's replies"],
)
def test_a_killed_process_finds_its_jobs_again_and_pays_nothing_twice(server, live_run, tmp_path, at):
    server.silent[at] = [Fault(stall=60)]
    folder = tmp_path / "batch"
    assert processes.killed(begun(server, folder, lambda: at in server.calls))
    assert not (folder / "results.jsonl").exists()
    results = swept(server.url, folder)
    assert timeless(results) == timeless(live_run.results)
    assert len(server.jobs) == 2
    assert server.billed == live_run.billed


def test_a_job_that_was_uploaded_and_never_created_is_made_again(server, tmp_path):
    server.faults["POST", "/batches"] = [Fault(stall=60)]
    assert processes.killed(begun(server, tmp_path, lambda: ("POST", "/batches") in server.calls))
    assert server.jobs == []
    assert all(result.points for result in swept(server.url, tmp_path))
    assert len(server.jobs) == 2


def test_two_processes_do_not_submit_the_same_jobs(server, tmp_path):
    server.held = True
    process = begun(server, tmp_path, lambda: server.jobs)
    try:
        with pytest.raises(RunError, match="another process"):
            swept(server.url, tmp_path)
    finally:
        server.held = False
        assert processes.ended(process) == 0
    assert len(server.jobs) == 2
