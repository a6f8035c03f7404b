from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from anytime_dspy.errors import RunError
from anytime_dspy.storage.jsonl import LineLog

RUN = {"task": "trip"}
WRITER = """
import sys
from pathlib import Path
from anytime_dspy.storage.jsonl import LineLog
log = LineLog(Path(sys.argv[1]), {"task": "trip"})
for n in range(40):
    log.append([sys.argv[2], n, "x" * 20000])
"""


def test_what_was_appended_is_there_when_it_is_opened_again(tmp_path):
    path = tmp_path / "deep" / "log.jsonl"
    log = LineLog(path, RUN)
    log.append({"text": "a\u2028b\r\n\ud800"})
    assert LineLog(path, RUN).lines == [{"text": "a\u2028b\r\n?"}]


def test_news_is_what_was_added_since(tmp_path):
    here, there = (LineLog(tmp_path / "log.jsonl", RUN) for _ in range(2))
    there.append(1)
    assert (here.lines, here.new_lines(), here.new_lines()) == ([], [1], [])
    here.append(2)
    there.append(3)
    assert there.new_lines() == [1, 2, 3]


@pytest.mark.parametrize("kept", range(1, 12))
def test_a_file_that_was_torn_anywhere_goes_on_from_its_whole_lines(tmp_path, kept, caplog):
    path = tmp_path / "log.jsonl"
    log = LineLog(path, RUN)
    for n in range(3):
        log.append({"n": n})
    whole = path.read_bytes()
    os.truncate(path, len(whole) * kept // 12)
    left = path.read_bytes().count(b"\n")
    again = LineLog(path, RUN)
    assert again.lines == [{"n": n} for n in range(max(0, left - 1))]
    again.append("more")
    assert LineLog(path, RUN).lines == [*again.lines, "more"]


def test_another_run_is_refused_and_told_what_differs(tmp_path):
    LineLog(tmp_path / "log.jsonl", RUN)
    with pytest.raises(RunError, match=r'its task is "trip", not "aime"; choose another folder'):
        LineLog(tmp_path / "log.jsonl", {"task": "aime"})
    with pytest.raises(RunError, match="its seed is null, not 0"):
        LineLog(tmp_path / "log.jsonl", {**RUN, "seed": 0})


def test_a_damaged_line_is_named(tmp_path):
    path = tmp_path / "log.jsonl"
    log = LineLog(path, RUN)
    path.write_text(path.read_text() + "{oops\n")
    with pytest.raises(RunError, match=r"line 2 of .* is damaged"):
        log.new_lines()


def test_threads_and_processes_append_whole_lines(tmp_path):
    path = tmp_path / "log.jsonl"
    processes = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "ab"]
    log = LineLog(path, RUN)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(log.append, (["threads", n, ""] for n in range(40))))
    assert [process.wait() for process in processes] == [0, 0]
    _, *lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert Counter(name for name, _, _ in lines) == {"a": 40, "b": 40, "threads": 40}
