from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from tests.fakes import processes
from tests.fakes.processes import ended
from tests.optimizers import sampling_that_is_killed

KILLS = 5


def begun(folder):
    return processes.begun(sampling_that_is_killed.main, folder)


def told(folder):
    path = folder / "told"
    return path.read_text().splitlines() if path.exists() else []


def killed_after(folder, calls):
    """Starts or goes on with the sampling, and kills it after about that many more calls; returns the last one."""
    known = len(told(folder))
    process = begun(folder)
    while len(told(folder)) < known + calls and process.is_alive():
        time.sleep(0.001)
    time.sleep(random.Random(calls).uniform(0, 0.01))
    assert processes.killed(process)
    return told(folder)[-1]


@pytest.mark.slow
def test_a_sampling_that_is_killed_again_and_again_repeats_no_finished_call(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    assert ended(begun(whole)) == 0
    rng = random.Random(0)
    # The very last call before a kill may have ended without anyone having been told.
    last_words = Counter(killed_after(killed, rng.randint(1, 12)) for _ in range(KILLS))
    assert ended(begun(killed)) == 0
    assert (killed / "result").read_text() == (whole / "result").read_text()
    repeated = Counter(told(killed)) - Counter(told(whole))
    assert repeated <= last_words
    assert Counter(told(whole)) <= Counter(told(killed))
    assert ended(begun(killed)) == 0  # once more, with everything done
    assert Counter(told(killed)) - Counter(told(whole)) == repeated
