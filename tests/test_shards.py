"""Shards of a sweep: split, killed, merged, and what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import dspy
import pytest
from dspy.lm15 import LM15Error

import anytime_dspy as ad
from anytime_dspy.errors import DataError, RunError
from anytime_dspy.measure import sweep
from anytime_dspy.storage import description
from anytime_dspy.storage.merging import merge
from anytime_dspy.storage.results import ExampleResult
from anytime_dspy.storage.run_folder import RunStore
from anytime_dspy.storage.seal import Seal
from anytime_dspy.storage.shards import Shard
from anytime_dspy.testing import chat, prefill_of, prompt_of, words
from tests.fakes.clock import Clock
from tests.fakes.command_line import assert_refused, cli
from tests.fakes.http_server import ChatServer
from tests.fakes.numbered import TASK, numbered, timeless, traced

FINGERPRINT = {"task": "sharded", "budgets": [8, 16]}


def examples(count: int) -> list[dspy.Example]:
    return [dspy.Example(id=f"q{n}", question=f"question {n}?").with_inputs("question") for n in range(count)]


def program() -> ad.Anytime:
    return ad.Anytime(dspy.ChainOfThought("question -> answer"), budgets=(8, 16), answer_tokens=20)


def ids(data: list[dspy.Example]) -> list[str]:
    return [example.id for example in data]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.fixture
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Sweeps examples into a folder; the clock stands still, since it is all that differs between two runs."""
    clock = Clock(monkeypatch)
    origin = description.origin()
    monkeypatch.setattr(description, "origin", lambda: origin)
    monkeypatch.setattr("anytime_dspy.storage.run_folder.origin", lambda: origin)

    def reply(request: object) -> str:
        if "question none" in prompt_of(request):
            raise LM15Error("planted")
        number = re.findall(r"question (\d+)", prompt_of(request))[-1]
        answer = f"answer {number}" if prefill_of(request) else None
        return answer or chat(reasoning=words(4 + int(number) % 20), answer=f"answer {number}")

    lm = clock.lm(reply, speed=float("inf"))

    def run(name: str, data: list[dspy.Example], shard: Shard | None = None, threads: int = 8) -> Path:
        store = RunStore.open(tmp_path / name, FINGERPRINT, shard.of(ids(data)) if shard else None)
        metric = ad.AnytimeIndex(lambda example, prediction: float(len(prediction.answer) % 2))
        with dspy.context(lm=lm):
            results = sweep(program(), data, metric, store=store, threads=threads)
        assert [result.id for result in results] == [name for name in ids(data) if not shard or shard.takes(name)]
        return store.path

    return run


def shards_of(run: Callable[..., Path], data: list[dspy.Example], count: int) -> list[Path]:
    return [run(f"shard-{n}", data, Shard(n, count)) for n in range(1, count + 1)]


@pytest.mark.slow
def test_eight_shards_of_2000_examples_merged_are_one_run_byte_for_byte(swept, tmp_path):
    data = examples(2000)
    whole = swept("whole", data)
    shards = shards_of(swept, data, 8)
    sizes = [len(RunStore.read(shard).results()) for shard in shards]
    assert sum(sizes) == 2000
    assert min(sizes) > 200
    merge(tmp_path / "merged", shards[::-1])
    assert content(tmp_path / "merged") == content(whole)
    assert [json.loads(line)["id"] for line in (whole / "results.jsonl").read_bytes().splitlines()] == ids(data)
    store = RunStore.open(tmp_path / "merged", FINGERPRINT)
    assert store.done() == set(ids(data))
    assert not list(tmp_path.glob(".merged*"))


def test_a_run_s_file_does_not_depend_on_what_ran_beside_what(swept):
    data = examples(60)
    alone = content(swept("alone", data, threads=1))
    assert content(swept("many", data, threads=16)) == alone
    half = [*data[40:], *data[:7]]
    swept("grown", half, threads=16)
    assert content(swept("grown", data, threads=4)) == alone, "it was begun with other examples, in another order"


def test_a_neighbour_s_view_survives_that_lines_are_rearranged(tmp_path):
    here, there = (RunStore.open(tmp_path / "run", FINGERPRINT) for _ in range(2))
    for name in "cab":
        here.append(ExampleResult(name, {}, (), error="it failed" if name == "a" else None))
    there.append(ExampleResult("d", {}, ()))
    here.append(ExampleResult("a", {}, ()))
    here.finish(["a", "b", "c"])
    assert [result.id for result in here.results()] == ["a", "b", "c", "d"]
    there.append(ExampleResult("e", {}, ()))
    there.append(ExampleResult("a", {"second": True}, ()))
    lines = [json.loads(line) for line in (tmp_path / "run" / "results.jsonl").read_bytes().splitlines()]
    assert [(line["id"], line["error"]) for line in lines] == [(name, None) for name in "abcde"]
    assert there.done() == {*"abcde"}
    there.finish([*"edcba"])
    here.append(ExampleResult("f", {}, ()))
    assert [result.id for result in RunStore.read(tmp_path / "run").results()] == [*"edcbaf"]


def test_failed_examples_are_merged_as_they_are_and_tried_again_there(swept, tmp_path):
    data = examples(40)
    broken = list(data)
    for place in (3, 17):
        broken[place] = data[place].copy(question="question none").with_inputs("question")
    whole = swept("whole", broken)
    shards = shards_of(swept, broken, 3)
    merge(tmp_path / "merged", shards)
    assert content(tmp_path / "merged") == content(whole)
    failed = [result.id for result in RunStore.read(tmp_path / "merged").results() if result.error]
    assert failed == ["q3", "q17"]
    swept("merged", data)
    assert RunStore.read(tmp_path / "merged").done() == set(ids(data))


def test_more_shards_than_examples(swept, tmp_path):
    data = examples(3)
    shards = shards_of(swept, data, 12)
    assert sum(not (shard / "results.jsonl").exists() for shard in shards) >= 9
    merge(tmp_path / "merged", shards)
    assert content(tmp_path / "merged") == content(swept("whole", data))


def test_every_id_is_in_exactly_one_shard():
    names = [*map(str, range(500)), "", "ä", "half of an emoji: \ud83d"]
    taken = Counter(n for name in names for n in range(1, 8) if Shard(n, 7).takes(name))
    assert sum(taken.values()) == len(names)
    assert min(taken.values()) > 40


@pytest.mark.parametrize("text", ["0/8", "9/8", "1/0", "a/b", "3", "-1/8", "1/8/2", "1.5/8", ""])
def test_a_shard_that_there_is_not_is_refused(text):
    with pytest.raises(DataError, match="no shard"):
        Shard.parse(text)


def unfinished(shard: Path) -> None:
    (shard / "places.txt").unlink()


def longer(shard: Path) -> None:
    lines = (shard / "results.jsonl").read_bytes().splitlines(keepends=True)
    (shard / "results.jsonl").write_bytes(b"".join([*lines, lines[0]]))


def torn(shard: Path) -> None:
    (shard / "results.jsonl").write_bytes((shard / "results.jsonl").read_bytes()[:-1])


def edited(shard: Path) -> None:
    results = shard / "results.jsonl"
    results.write_bytes(results.read_bytes().replace(b'"quality": 0.0', b'"quality": 1.0', 1))


def shuffled(shard: Path) -> None:
    lines = (shard / "results.jsonl").read_bytes().splitlines(keepends=True)
    (shard / "results.jsonl").write_bytes(b"".join(lines[::-1]))


def moved(shard: Path) -> None:
    places = (shard / "places.txt").read_text().split()
    (shard / "places.txt").write_text("".join(f"{int(place) + 1}\n" for place in places))


def no_places(shard: Path) -> None:
    (shard / "places.txt").write_text("\n".join(["nowhere"] * 99) + "\n")


def renamed(shard: Path) -> None:
    said = json.loads((shard / "run.json").read_text())
    said["shard"]["index"] = 2
    (shard / "run.json").write_text(json.dumps(said))


def of_another_model(shard: Path) -> None:
    said = json.loads((shard / "run.json").read_text())
    said["fingerprint"]["model"] = "gpt-4o"
    (shard / "run.json").write_text(json.dumps(said))


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (unfinished, r"shard-1 is not finished: give the command of shard 1 again"),
        (longer, r"shard-1 is not finished"),
        (torn, r"shard-1 is not finished"),
        (edited, r"line \d+ of .*shard-1/results.jsonl is no result of this run \(it was edited"),
        (shuffled, r"the shards hold .* examples that are not the 30 of their data"),
        (moved, r"the shards hold example \d+ of the data where \d+ should be"),
        (no_places, r"places\.txt is damaged"),
        (renamed, r"shard-2 and .*shard-1 are the same shard, 2/3|shard-1 and .*shard-2 are the same shard, 2/3"),
        (of_another_model, "is of another run than .*: its model is another"),
        (shutil.rmtree, r"shard-1 holds no run: it has no run\.json"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_harmed_shard_is_refused_and_nothing_is_left(harm, complaint, swept, tmp_path):
    shards = shards_of(swept, examples(30), 3)
    harm(shards[0])
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(RunError, match=complaint) as refusal:
        merge(tmp_path / "merged", shards)
    assert "\n" not in str(refusal.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_overlaps_gaps_and_foreign_shards_are_refused(swept, tmp_path):
    data = examples(30)
    shards = shards_of(swept, data, 3)
    other_count = swept("of-4", data, Shard(1, 4))
    other_data = swept("other-data", data[1:], Shard(1, 3))
    whole = swept("whole", data)
    for folders, complaint in {
        (): "nothing to merge",
        (shards[0], shards[2]): "of 3 shards these are missing: 2",
        (*shards, shards[1]): "are the same shard, 2/3: name each once",
        (other_count, *shards[1:]): "no shards of one sweep: .*1/4 of 30.*2/3 of 30",
        (other_data, *shards[1:]): "no shards of one sweep: .*1/3 of 29.*2/3 of 30",
        (whole, *shards[1:]): "whole is no shard",
    }.items():
        with pytest.raises(RunError, match=complaint):
            merge(tmp_path / "merged", folders)
        assert not (tmp_path / "merged").exists()
    with pytest.raises(RunError, match="whole is not empty"):
        merge(whole, shards)
    (tmp_path / "merged").mkdir()
    merge(tmp_path / "merged", shards)


def test_a_shard_s_folder_is_no_other_shard_s(swept, tmp_path):
    data = examples(30)
    swept("shard", data, Shard(1, 3))
    for shard in (Shard(2, 3), Shard(1, 4), None):
        with pytest.raises(RunError, match=r"holds another run: it is shard 1/3 of 30 examples"):
            swept("shard", data, shard)
    store = RunStore.open(tmp_path / "shard", FINGERPRINT, Shard(1, 3).of(ids(data)))
    with pytest.raises(DataError, match="give all examples of the same data"):
        sweep(program(), data[:20], ad.AnytimeIndex(lambda *_: 0.0), store=store)
    swept("shard", data, Shard(1, 3))


MERGER = """
import sys
from pathlib import Path
from anytime_dspy.storage.merging import merge
out, *shards = map(Path, sys.argv[1:])
merge(out, shards)
# Not ru_maxrss, which begins with that of the process that started this one.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def made_shards(folder: Path, lines: int, count: int) -> list[Path]:
    names = [f"e{n}" for n in range(lines)]
    paths = []
    for index in range(1, count + 1):
        shard = Shard(index, count)
        path = folder / f"{lines}-{index}"
        store = RunStore.open(path, FINGERPRINT, shard.of(names))
        seal = Seal(path, store.fingerprint)
        places = [place for place, name in enumerate(names) if shard.takes(name)]
        with (path / "results.jsonl").open("w") as file:
            file.writelines(seal.line(ExampleResult(names[place], {"text": "x" * 1000}, ())) for place in places)
        (path / "places.txt").write_text("".join(f"{place}\n" for place in places))
        paths.append(path)
    return paths


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.slow
def test_memory_does_not_grow_with_the_lines(tmp_path):
    peaks = []
    for lines in (2000, 40_000):
        shards = made_shards(tmp_path, lines, 4)
        command = [sys.executable, "-c", MERGER, str(tmp_path / f"merged-{lines}"), *map(str, shards)]
        peaks.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    assert (tmp_path / "merged-40000" / "results.jsonl").read_bytes().count(b"\n") == 40_000
    assert peaks[1] < peaks[0] + 4000, peaks  # kilobytes; the lines take 45 MB


ARGUMENTS = ("sweep", "my_task.py", "--model", "openai/gpt-4.1", "--threads", "4", "--json")


@pytest.mark.slow
def test_a_killed_shard_loses_nothing_and_pays_for_nothing_twice(tmp_path):
    (tmp_path / "my_task.py").write_text(TASK)
    with ChatServer(numbered, delay=0.1) as server:
        key = {"OPENAI_API_KEY": "none", "OPENAI_API_BASE": server.url, "DSPY_CACHEDIR": str(tmp_path / "cache")}
        first = (*ARGUMENTS, "--shard", "1/2", "--out", "shard-1")
        command = [sys.executable, "-m", "anytime_dspy", *first]
        with subprocess.Popen(command, cwd=tmp_path, env={**os.environ, **key}, stdout=subprocess.DEVNULL) as killed:
            results = tmp_path / "shard-1" / "results.jsonl"
            while not results.exists() or results.read_bytes().count(b"\n") < 4:
                assert killed.poll() is None
                time.sleep(0.05)
            killed.kill()
        server.delay = 0.0
        kept = {result.id for result in RunStore.read(tmp_path / "shard-1").results()}
        at_kill = len(server.received)
        unfinished = cli("merge", "merged", "shard-1", cwd=tmp_path)
        assert_refused(unfinished, "of 2 shards these are missing: 2")
        for arguments in (first, (*ARGUMENTS, "--shard", "2/2", "--out", "shard-2")):
            done = cli(*arguments, cwd=tmp_path, **key)
            assert done.returncode == 0, done.stderr
        asked = Counter(json.dumps(received.body, sort_keys=True) for received in server.received)
        assert len(server.received) - len(asked) <= 4, "no more than what was in flight is asked for again"
        again = {traced(received) for received in server.received[at_kill:]} - {None}
        assert not again & kept
        merged = cli("merge", "merged", "shard-2", "shard-1", "--json", cwd=tmp_path)
        assert merged.returncode == 0, merged.stderr
        assert json.loads(merged.stdout) == {"folder": "merged", "examples": 24, "shards": 2}
        before = len(server.received)
        shown = cli(*ARGUMENTS, "--out", "merged", cwd=tmp_path, **key)
        assert json.loads(shown.stdout)["programs"]["plain"]["n"] == 24
        assert len(server.received) == before, "the merged run is whole"
        whole = cli(*ARGUMENTS, "--out", "whole", cwd=tmp_path, **{**key, "DSPY_CACHEDIR": str(tmp_path / "other")})
        assert whole.returncode == 0, whole.stderr
    runs = [RunStore.read(tmp_path / name) for name in ("merged", "whole")]
    assert runs[0].fingerprint == runs[1].fingerprint
    assert timeless(runs[0].results()) == timeless(runs[1].results())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*ARGUMENTS, "--shard", "9/8", "--out", "run"), ["there is no shard 9/8"]),
        ((*ARGUMENTS, "--shard", "two", "--out", "run"), ["'two' is no shard", "3/8"]),
        (("merge", "run", "nowhere"), ["nowhere holds no run"]),
    ],
    ids=str,
)
def test_bad_input_is_one_line_and_leaves_nothing(arguments, words, tmp_path):
    (tmp_path / "my_task.py").write_text(TASK)
    assert_refused(cli(*arguments, cwd=tmp_path, OPENAI_API_KEY="none"), *words)
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["my_task.py"]


def test_a_shard_without_examples_ends_well(tmp_path):
    (tmp_path / "my_task.py").write_text(TASK)
    empty = next(n for n in range(1, 400) if not any(Shard(n, 400).takes(str(example)) for example in range(24)))
    arguments = ("sweep", "my_task.py", "--model", "openai/gpt-4.1", "--shard", f"{empty}/400", "--out", "run")
    done = cli(*arguments, cwd=tmp_path, OPENAI_API_KEY="none")
    assert done.returncode == 0, done.stderr
    assert "No example falls into shard" in done.stdout
