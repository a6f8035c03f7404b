from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from tests.fakes import processes
from tests.fakes.processes import ended
from tests.optimizers import compile_that_is_killed

KILLS = 10


def begun(folder, seconds=0.0):
    folder.mkdir(exist_ok=True)
    return processes.begun(compile_that_is_killed.main, folder, "log", seconds)


def told(folder):
    path = folder / "told"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def callers(folder):
    return Counter(line.split()[1] for line in (folder / "told").read_text().splitlines())


def results(folder):
    return {path.read_text() for path in folder.glob("result-*")}


def killed_after(folder, calls):
    """Starts or goes on with the compile, and kills it after about that many more calls; returns the last one."""
    known = len(told(folder))
    process = begun(folder)
    while len(told(folder)) < known + calls and process.is_alive():
        time.sleep(0.001)
    time.sleep(random.Random(calls).uniform(0, 0.05))
    return told(folder)[-1] if processes.killed(process) else None


@pytest.mark.slow
def test_a_compile_that_is_killed_ten_times_gives_the_same_program_and_repeats_no_finished_call(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert ended(begun(whole)) == 0
    calls = len(told(whole))
    rng = random.Random(0)
    last_words = Counter()
    for _ in range(KILLS):
        # The very last call before a kill may have ended without anyone having been told.
        last_words[killed_after(killed, rng.randint(1, calls // KILLS))] += 1
    assert ended(begun(killed)) == 0
    assert len(results(killed)) == 1
    assert results(killed) == results(whole)
    repeated = Counter(told(killed)) - Counter(told(whole))
    assert repeated <= last_words
    assert Counter(told(whole)) <= Counter(told(killed))


@pytest.mark.slow
def test_two_processes_share_the_trials_and_agree(tmp_path):
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    assert ended(begun(alone, 0.005)) == 0
    both = [begun(shared, 0.005) for _ in range(2)]
    assert [ended(process) for process in both] == [0, 0]
    assert len(list(shared.glob("result-*"))) == 2
    assert len(results(shared)) == 1
    assert len(callers(shared)) == 2
    # What both need is called once; the trials that they ran are each one's own.
    assert max(callers(shared).values()) < len(told(alone))
    assert len(told(shared)) < 1.5 * len(told(alone))
