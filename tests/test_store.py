"""The run folder: what is kept, what is refused, and what survives a crash."""

from __future__ import annotations

import json
import logging
import resource
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path

import dspy
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from anytime_dspy.checkpoint import Call, Checkpoint, Usage
from anytime_dspy.errors import RunError
from anytime_dspy.storage.results import ExampleResult, result_from
from anytime_dspy.storage.run_folder import RunStore

FINGERPRINT = {"task": "trip", "model": "simulated", "budgets": (16, 32)}


def result(example_id: str, text: str = "the plan") -> ExampleResult:
    checkpoints = [
        Checkpoint(
            budget=budget,
            prediction=dspy.Prediction(plan=text, start=date(2026, 5, 1)),
            reasoning_tokens=budget,
            answer_tokens=7,
            forced=True,
            answered=True,
            usage=Usage(100, budget, 7, 0, 2, 0.25, 0.001),
        )
        for budget in (16, 32)
    ]
    trace = [{"predictor": "plan", "reasoning": text, "answer": text, "tokens": 32}]
    return result_from(example_id, {"request": text}, checkpoints, [0.0, 0.5], trace)


def kept_or_refused(folder: Path) -> list[ExampleResult] | None:
    """The results that can be read, or None where one error of this library refuses the folder."""
    try:
        return RunStore.read(folder).results()
    except RunError:
        return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run with two results."""
    store = RunStore.open(tmp_path / "run", FINGERPRINT)
    store.append(result("a"))
    store.append(result("b"))
    return store.path


def test_a_result_comes_back_as_it_went_in(folder):
    store = RunStore.read(folder)
    assert store.results() == [result("a"), result("b")]
    point = store.results()[0].points[1]
    assert point.prediction == {"plan": "the plan", "start": "2026-05-01"}
    assert point.usage == Usage(100, 32, 7, 0, 2, 0.25, 0.001)
    assert store.fingerprint == {"task": "trip", "model": "simulated", "budgets": [16, 32]}


def test_the_same_run_goes_on_where_it_stopped(folder):
    store = RunStore.open(folder, FINGERPRINT)
    assert store.done() == {"a", "b"}
    store.append(result("c"))
    assert [kept.id for kept in RunStore.open(folder, FINGERPRINT).results()] == ["a", "b", "c"]


@given(text=st.text(st.characters(exclude_categories=()), max_size=40))
@example(text="half of an emoji: \ud83d")
@example(text="\u2028 breaks lines elsewhere, \x00 ends strings")
def test_any_text_of_a_model_can_be_kept(tmp_path_factory, text):
    store = RunStore.open(tmp_path_factory.mktemp("run"), {})
    store.append(result("a", text))
    readable = text.encode("utf-8", "replace").decode()  # half a surrogate pair is no text
    assert RunStore.read(store.path).results()[0].inputs == {"request": readable}


def test_values_that_json_cannot_hold_are_kept_as_text():
    class Opaque:
        def __str__(self):
            return "opaque"

    kept = result_from("a", {"x": Opaque(), "y": {1}, "z": float("nan"), "r": dspy.Reasoning(content="so")}, [], [])
    assert kept.inputs == {"x": "opaque", "y": [1], "z": None, "r": "so"}


def test_calls_of_a_checkpoint_are_a_trace(tmp_path):
    call = Call("solve", {"problem": "2+2"}, {"answer": 4}, "two and two", 3, 1, False, True)
    store = RunStore.open(tmp_path, {})
    store.append(result_from("a", {}, [], [], [call]))
    (kept,) = RunStore.read(tmp_path).results()[0].trace
    assert (kept["predictor"], kept["reasoning"], kept["outputs"]) == ("solve", "two and two", {"answer": 4})


def test_an_example_that_failed_is_run_again_and_its_result_replaces_the_failure(folder):
    store = RunStore.open(folder, FINGERPRINT)
    store.append(replace(result("c"), points=(), error="connection refused"))
    assert store.done() == {"a", "b"}
    store.append(result("c"))
    assert RunStore.read(folder).done() == {"a", "b", "c"}
    assert [kept.error for kept in RunStore.read(folder).results()] == [None, None, None]


def test_the_first_of_two_results_stands(folder):
    before = (folder / "results.jsonl").read_bytes()
    RunStore.open(folder, FINGERPRINT).append(result("a", "another plan"))
    assert (folder / "results.jsonl").read_bytes() == before
    twin = RunStore.open(folder.parent / "twin", FINGERPRINT)
    twin.append(result("a", "another plan"))
    with (folder / "results.jsonl").open("ab") as file:
        file.write((twin.path / "results.jsonl").read_bytes())
    assert RunStore.read(folder).results() == [result("a"), result("b")]


def test_threads_may_write_at_once(tmp_path):
    store = RunStore.open(tmp_path, FINGERPRINT)
    ids = [f"{number:03}" for number in range(200)]
    with ThreadPoolExecutor(8) as threads:
        # Each twice, as DSPy's executor does with slow examples.
        list(threads.map(lambda example_id: store.append(result(example_id, "x" * 5000)), sorted([*ids, *ids])))
    assert (tmp_path / "results.jsonl").read_bytes().count(b"\n") == len(ids)
    kept = RunStore.read(tmp_path).results()
    assert sorted(one.id for one in kept) == ids
    assert all(one == result(one.id, "x" * 5000) for one in kept)


@pytest.mark.parametrize("missing", [1, 40])
def test_a_torn_last_line_is_dropped_and_the_file_mended(folder, caplog, missing):
    results = folder / "results.jsonl"
    whole = results.read_bytes()
    results.write_bytes(whole[:-missing])
    with caplog.at_level(logging.WARNING):
        assert RunStore.read(folder).done() == {"a"}
    assert "cut off" in caplog.text
    assert results.read_bytes() == whole[:-missing]
    store = RunStore.open(folder, FINGERPRINT)
    assert store.done() == {"a"}
    store.append(result("b"))
    assert results.read_bytes() == whole


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (lambda line: b"", "Invalid JSON"),
        (lambda line: b"not json", "Invalid JSON"),
        (lambda line: b"\xff\xfe", "Invalid JSON"),
        (lambda line: line[: len(line) // 2], "Invalid JSON"),
        (lambda line: line.replace(b'"quality": 0.5', b'"quality": "good"'), r"points\.1\.quality"),
        (lambda line: line.replace(b'"budget": 16', b'"budget": 16.5'), r"points\.0\.budget"),
        (lambda line: line.replace(b'"points"', b'"dots"'), r"points: .*required"),
    ],
)
def test_any_other_damaged_line_is_named(folder, edit, complaint):
    results = folder / "results.jsonl"
    first, second, _ = results.read_bytes().split(b"\n")
    assert edit(first) != first
    results.write_bytes(b"\n".join([second, edit(first), second, b""]))
    for look in (lambda: RunStore.read(folder), lambda: RunStore.open(folder, FINGERPRINT)):
        with pytest.raises(
            RunError, match=rf"line 2 of .*results\.jsonl is no result of this run \(.*{complaint}"
        ) as refusal:
            look()
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("written", "edited"),
    [
        (b'"quality": 0.5', b'"quality": 0.9'),
        (b'"quality": 0.5', b'"quality": -7.5'),
        (b'"budget": 16', b'"budget": 64'),
        (b'"id": "a"', b'"id": "c"'),
        (b'"answered": true', b'"answered": false'),
        (b"the plan", b"the  plan"),
        (b', "trace"', b',  "trace"'),
    ],
)
def test_no_edit_goes_unnoticed(folder, written, edited):
    results = folder / "results.jsonl"
    assert written in results.read_bytes()
    results.write_bytes(results.read_bytes().replace(written, edited, 1))
    with pytest.raises(RunError, match=r"line 1 of .* \(it was edited, or is another run's\)"):
        RunStore.read(folder)


def test_results_of_another_run_are_noticed(folder, tmp_path):
    other = RunStore.open(tmp_path / "other", {**FINGERPRINT, "model": "gpt-4o"})
    other.append(result("c"))
    with (folder / "results.jsonl").open("ab") as file:
        file.write((other.path / "results.jsonl").read_bytes())
    with pytest.raises(RunError, match=r"line 3 of .* another run's"):
        RunStore.read(folder)


def test_a_description_that_was_edited_is_noticed(folder):
    described = (folder / "run.json").read_text()
    (folder / "run.json").write_text(described.replace("simulated", "gpt-4o"))
    with pytest.raises(RunError, match=r"line 1 of .* edited"):
        RunStore.read(folder)


@pytest.mark.slow
def test_a_folder_cut_off_at_any_byte_gives_whole_results_or_one_error(folder):
    for name, whole in [(name, (folder / name).read_bytes()) for name in ("results.jsonl", "run.json")]:
        for length in range(len(whole)):
            (folder / name).write_bytes(whole[:length])
            kept = kept_or_refused(folder)
            if name == "results.jsonl":
                assert kept == [result("a"), result("b")][: whole[:length].count(b"\n")]
            else:
                assert kept in (None, [result("a"), result("b")])
        (folder / name).write_bytes(whole)


@given(data=st.data())
def test_any_changed_byte_gives_whole_results_or_one_error(tmp_path_factory, data):
    store = RunStore.open(tmp_path_factory.mktemp("run"), FINGERPRINT)
    store.append(result("a"))
    store.append(result("b"))
    path = store.path / data.draw(st.sampled_from(["results.jsonl", "run.json"]))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    kept = kept_or_refused(store.path)
    assert kept is None or kept == [result("a"), result("b")][: len(kept)]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model": "gpt-4o"}, r'its model is "simulated", not "gpt-4o"'),
        ({"budgets": (16, 64)}, r"its budgets is \[16, 32\], not \[16, 64\]"),
        ({"seed": 1}, "its seed is nothing, not 1"),
    ],
)
def test_the_folder_of_another_run_is_refused(folder, change, complaint):
    with pytest.raises(RunError, match=complaint):
        RunStore.open(folder, {**FINGERPRINT, **change})


def test_a_key_that_only_the_folder_has_is_a_difference_too(folder):
    with pytest.raises(RunError, match=r'its model is "simulated", not nothing'):
        RunStore.open(folder, {key: value for key, value in FINGERPRINT.items() if key != "model"})


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="holds files but no run"):
        RunStore.open(tmp_path, FINGERPRINT)
    with pytest.raises(RunError, match=r"it has no run\.json"):
        RunStore.read(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_whose_first_write_was_killed_can_be_used(tmp_path):
    (tmp_path / ".run.json.part").write_text('{"sche')
    assert RunStore.open(tmp_path, FINGERPRINT).done() == set()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": 1}', '{"schema": 1, "fingerprint": 3}', "\x00"])
def test_a_damaged_description_is_refused(folder, content):
    (folder / "run.json").write_text(content)
    for look in (lambda: RunStore.read(folder), lambda: RunStore.open(folder, FINGERPRINT)):
        with pytest.raises(RunError, match=r"run\.json is damaged"):
            look()


def test_a_newer_schema_asks_for_an_update(folder):
    description = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**description, "schema": 3}))
    with pytest.raises(RunError, match="schema 3, this version knows up to 2: update anytime-dspy"):
        RunStore.open(folder, FINGERPRINT)


def test_an_older_schema_is_not_guessed_at(folder):
    description = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**description, "schema": 1}))
    with pytest.raises(RunError, match="schema 1, which is no longer read: measure again"):
        RunStore.read(folder)


def test_a_run_opened_for_reading_is_not_written(folder):
    with pytest.raises(RunError, match=r"use RunStore\.open"):
        RunStore.read(folder).append(result("c"))


def test_a_path_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunError, match="cannot be used"):
            RunStore.open(path, FINGERPRINT)


def test_summary_is_replaced_as_a_whole(folder):
    store = RunStore.open(folder, FINGERPRINT)
    store.write_summary({"index": 0.25})
    store.write_summary({"index": 0.5, "low": float("nan")})
    assert json.loads((folder / "summary.json").read_text()) == {"index": 0.5, "low": None}
    assert not list(folder.glob(".*.part"))


def test_a_full_disk_costs_the_result_that_did_not_fit_and_no_other(folder):
    """A limit on the size of files stands in for the disk: the kernel writes what fits and refuses the rest."""
    store = RunStore.open(folder, FINGERPRINT)
    results = folder / "results.jsonl"
    before = results.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 200, hard))
    try:
        with pytest.raises(RunError, match="cannot be used: File too large; free space"):
            store.append(result("c"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert results.read_bytes() == before
    assert store.done() == {"a", "b"}
    store.append(result("c"))
    assert RunStore.read(folder).done() == {"a", "b", "c"}


WRITER = """
import sys
from itertools import count
from anytime_dspy.storage.run_folder import ExampleResult, RunStore
store = RunStore.open(sys.argv[1], {"task": "kill"})
for number in count():
    store.append(ExampleResult(str(number), {"text": "x" * 100_000}, ()))
    print(number, flush=True)
"""


def test_what_was_reported_as_kept_outlives_a_kill(tmp_path):
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(20):
            reported = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        reported = max([reported, *(int(line) for line in writer.stdout.read().split())])
    done = RunStore.open(tmp_path, {"task": "kill"}).done()
    assert {str(number) for number in range(reported + 1)} <= done
