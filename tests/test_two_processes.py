"""Several processes in one run folder: no line lost, none twice, none torn, and nothing paid for twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from anytime_dspy.errors import RunError
from anytime_dspy.storage.jsonl import LineLog, write_json
from anytime_dspy.storage.results import ExampleResult
from anytime_dspy.storage.run_folder import Busy, RunStore
from tests.sweep_beside_others import FINGERPRINT

COUNT = 200


@contextmanager
def sweeping(folder: Path, *names: str, seconds: float = 0.002) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that sweep into a folder, ready and then let go at once."""
    command = [sys.executable, "-m", "tests.sweep_beside_others", str(folder)]
    processes = [
        subprocess.Popen(
            [*command, name, str(COUNT), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        for name in names
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def ran(folder: Path, name: str) -> list[str]:
    return folder.with_name(f"ran-{name}").read_text().split()


def kept(folder: Path) -> list[str]:
    """The ids of the lines as they stand in the file, each of which has to be whole."""
    content = (folder / "results.jsonl").read_bytes()
    assert content.endswith(b"\n")
    return [json.loads(line)["id"] for line in content.splitlines()]


@pytest.mark.slow
def test_two_processes_sweep_into_one_folder_and_run_each_example_once(tmp_path):
    folder = tmp_path / "run"
    with sweeping(folder, "a", "b") as processes:
        while any(process.poll() is None for process in processes):
            looked = RunStore.read(folder).results()  # while they write
            assert all(result.error is None for result in looked)
            time.sleep(0.02)
    assert [process.returncode for process in processes] == [0, 0]
    assert Counter(kept(folder)) == {str(n): 1 for n in range(COUNT)}
    assert Counter(ran(folder, "a") + ran(folder, "b")) == {str(n): 1 for n in range(COUNT)}
    assert min(len(ran(folder, "a")), len(ran(folder, "b"))) > COUNT // 10
    assert not list(folder.glob(".*.turn"))


@pytest.mark.parametrize("after", [10, 60])
@pytest.mark.slow
def test_the_other_one_ends_the_sweep_when_one_is_killed(tmp_path, after):
    folder = tmp_path / "run"
    with sweeping(folder, "a", "b") as (killed, other):
        while not (folder / "results.jsonl").exists() or len(RunStore.read(folder).done()) < after:
            time.sleep(0.01)
        killed.kill()
        assert other.wait(timeout=30) == 0
    assert Counter(kept(folder)) == {str(n): 1 for n in range(COUNT)}
    # What the killed one was at work on is run again, and nothing else.
    again = Counter(ran(folder, "a") + ran(folder, "b"))
    assert sum(again.values()) - COUNT <= 2
    assert RunStore.open(folder, FINGERPRINT).done() == {str(n) for n in range(COUNT)}


def test_a_line_that_a_killed_neighbour_tore_swallows_no_other(tmp_path):
    store = RunStore.open(tmp_path / "run", FINGERPRINT)
    for n in range(3):
        with (tmp_path / "run" / "results.jsonl").open("ab") as file:
            file.write(b'{"id": "torn", "inp')
        store.append(ExampleResult(str(n), {}, ()))
    assert kept(tmp_path / "run") == ["0", "1", "2"]
    assert RunStore.read(tmp_path / "run").done() == {"0", "1", "2"}


def test_an_example_that_a_neighbour_runs_is_waited_for_and_then_known(tmp_path):
    here, there = (RunStore.open(tmp_path / "run", FINGERPRINT) for _ in range(2))
    done = ExampleResult("../a: b", {}, ())
    with ThreadPoolExecutor(1) as pool:
        with there.claim(done.id, wait=False) as known:
            assert known is None
            with pytest.raises(Busy), here.claim(done.id, wait=False):
                pass

            def waited() -> ExampleResult | None:
                with here.claim(done.id, wait=True) as known:
                    return known

            waiting = pool.submit(waited)
            there.append(done)
        assert waiting.result(timeout=10) == done
    with here.claim("another", wait=False) as known:
        assert known is None


def test_of_runs_that_begin_in_one_folder_at_once_one_gets_it(tmp_path):
    def begun(folder: Path, model: int) -> bool:
        try:
            return RunStore.open(folder, {"model": model}).fingerprint == {"model": model}
        except RunError:
            return False

    with ThreadPoolExecutor(8) as pool:
        for n in range(20):
            folder = tmp_path / str(n)
            assert sum(pool.map(partial(begun, folder), range(8))) == 1
            assert not list(folder.glob(".*.part"))


def test_a_log_s_line_that_a_killed_neighbour_tore_swallows_no_other(tmp_path):
    path = tmp_path / "log.jsonl"
    log = LineLog(path, FINGERPRINT)
    with path.open("ab") as file:
        file.write(b'{"torn')
    log.append("whole")
    assert (log.new_lines(), LineLog(path, FINGERPRINT).lines) == (["whole"], ["whole"])


def test_a_neighbour_s_damaged_line_is_named(tmp_path):
    store = RunStore.open(tmp_path / "run", FINGERPRINT)
    store.append(ExampleResult("a", {}, ()))
    with (tmp_path / "run" / "results.jsonl").open("ab") as file:
        file.write(b"\0\0\0\n")
    with pytest.raises(RunError, match=r"line 2 of .*results\.jsonl"):
        store.append(ExampleResult("b", {}, ()))


def test_a_file_written_by_two_at_once_is_one_of_theirs(tmp_path):
    texts = [str(n) * 50_000 for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_json(tmp_path / "summary.json", {"text": text}), texts * 5))
    assert json.loads((tmp_path / "summary.json").read_text())["text"] in texts
    assert os.listdir(tmp_path) == ["summary.json"]
