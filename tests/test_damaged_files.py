"""Every file that is read back says which file and which line is damaged, in one error of this library."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.calls.call_cache import CallCache
from anytime_dspy.cli.compile_folder import read_compiled
from anytime_dspy.errors import AnytimeError, RunError
from anytime_dspy.measure import sweep
from anytime_dspy.optimizers import LEAP, PDP
from anytime_dspy.optimizers.pairs.pair import read_pairs
from anytime_dspy.programs.records import read_records
from anytime_dspy.programs.saved import task_of
from anytime_dspy.programs.word_problems import task as word_problems
from anytime_dspy.storage.jsonl import read_json, write_json
from anytime_dspy.storage.run_folder import RunStore
from anytime_dspy.storage.runs import read_runs
from anytime_dspy.testing import scripted_lm
from experiments.paper.cells import compile_tokens
from experiments.paper.grid import read_grid
from tests.fakes.simulated import examples, simulated

METRIC = ad.AnytimeIndex(lambda example, prediction: float(str(prediction.answer) == example.answer))


def student() -> ad.Anytime:
    return ad.Anytime(dspy.ChainOfThought("question -> answer"), (16, 32, 64), answer_tokens=12)


def searched(folder: Path) -> ad.Anytime:
    lm = scripted_lm(simulated)
    lm.model = "scripted/damaged"
    pdp = PDP(METRIC, samples=3, trials=2, log_dir=folder)
    with dspy.context(lm=lm):
        return pdp.compile(student(), trainset=examples(1, 6), valset=examples(100, 8))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A folder with one of every file that is read back."""
    folder = tmp_path_factory.mktemp("whole")
    compiled = searched(folder)
    compiled.save(folder / "program.json")
    store = RunStore.open(folder / "run", {"task": "any"})
    with dspy.context(lm=scripted_lm(simulated)):
        sweep(student(), examples(10, 3), METRIC, store=store)
    (folder / "data.jsonl").write_text("".join(json.dumps({"question": "q", "answer": "#### 4"}) + "\n" for _ in "abc"))
    return folder


LINES: dict[str, Callable[[Path], object]] = {
    "run/results.jsonl": lambda folder: RunStore.read(folder / "run"),
    "study.jsonl": searched,
    "calls.jsonl": lambda folder: CallCache(folder / "calls.jsonl"),
    "traces.jsonl": searched,
    "judged.jsonl": searched,
    "compile.jsonl": searched,
    "pairs.jsonl": lambda folder: read_pairs(folder / "pairs.jsonl"),
    "data.jsonl": lambda folder: word_problems.load(str(folder / "data.jsonl")),
}
OBJECTS: dict[str, Callable[[Path], object]] = {
    "run/run.json": lambda folder: read_runs([folder / "run"]),
    "program.json": lambda folder: student().load(folder / "program.json"),
    "report.json": lambda folder: compile_tokens("PDP", folder / "report.json"),
}
DAMAGE = {
    "blank": lambda line: b"",
    "glued": lambda line: line + line,
    "NUL": lambda line: b"\0" * 40,
    "cut": lambda line: line[: len(line) // 2],
    "no text": lambda line: b"\xff\xfe\x00" + line,
    "a number": lambda line: b"3",
    "another object": lambda line: b'{"a": 1}',
    "deep": lambda line: b"[" * 100_000,
    "a long number": lambda line: b"9" * 5000,
}


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def refusal(read: Callable[[], object], path: Path) -> str:
    """The one line in which an error of this library names the file."""
    with pytest.raises(AnytimeError) as refused:
        read()
    message = str(refused.value)
    assert path.name in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("name", LINES)
def test_a_damaged_line_is_named_with_its_file(folder, name, how):
    path = folder / name
    lines = path.read_bytes().split(b"\n")
    number = min(2, len(lines) - 1)
    lines[number - 1] = DAMAGE[how](lines[number - 1])
    if name == "data.jsonl" and how == "blank":
        pytest.skip("a blank line between records is no damage")
    path.write_bytes(b"\n".join(lines))
    assert f"line {number}" in refusal(lambda: LINES[name](folder), path) or how == "another object"


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("name", OBJECTS)
def test_a_damaged_file_is_named(folder, name, how):
    path = folder / name
    if how == "another object" and name == "report.json":
        pytest.skip("a report may lack any part")
    path.write_bytes(DAMAGE[how](path.read_bytes()))
    refusal(lambda: OBJECTS[name](folder), path)


@pytest.mark.parametrize("name", ["program.json", "report.json", "pairs.jsonl"])
@pytest.mark.parametrize("how", ["NUL", "cut", "a number", "no text", "deep"])
def test_a_report_names_what_is_damaged(folder, name, how):
    path = folder / name
    path.write_bytes(DAMAGE[how](path.read_bytes()))
    refusal(lambda: read_compiled(folder), path)


@pytest.mark.parametrize(
    ("name", "keys", "value"),
    [
        ("program.json", ("predict", "demos"), None),
        ("program.json", ("predict", "demos"), [3]),
        ("report.json", ("synthesis", "prompt_tokens"), "many"),
    ],
)
def test_a_report_names_a_file_of_other_values(folder, name, keys, value):
    state = read_json(folder / name)
    part = state
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    write_json(folder / name, state)
    refusal(lambda: read_compiled(folder), folder / name)


@pytest.mark.parametrize("name", ["program.json", "report.json", "run/run.json", "data.jsonl"])
def test_an_empty_file_is_one_clear_error(folder, name):
    (folder / name).write_bytes(b"")
    refusal(lambda: {**LINES, **OBJECTS}[name](folder), folder / name)


def test_the_task_of_a_damaged_program_is_one_clear_error(folder):
    (folder / "program.json").write_bytes(b"\xff\0")
    refusal(lambda: task_of(folder / "program.json"), folder / "program.json")


def test_a_last_pair_without_a_line_feed_is_read(folder):
    pairs = read_pairs(folder / "pairs.jsonl")
    path = folder / "pairs.jsonl"
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert read_pairs(path) == pairs


BLOCKED: dict[str, Callable[[Path], object]] = {
    "a run": lambda path: RunStore.open(path / "run", {}),
    "a run that is read": lambda path: RunStore.read(path / "run"),
    "a search": searched,
    "LEAP": lambda path: LEAP(METRIC, samples=2, log_dir=path).compile(student(), trainset=examples(1, 2)),
    "calls": lambda path: CallCache(path / "calls.jsonl"),
    "pairs": lambda path: read_pairs(path / "pairs.jsonl"),
    "a grid": lambda path: read_grid(path / "grid.toml"),
    "records": lambda path: read_records(path / "data.json", dict),
    "a file": lambda path: write_json(path / "x.json", {}),
}


@pytest.mark.parametrize("what", BLOCKED)
def test_a_folder_that_is_a_file_is_one_clear_error(tmp_path, what):
    (tmp_path / "file").write_text("")
    with dspy.context(lm=scripted_lm(simulated)):
        refusal(lambda: BLOCKED[what](tmp_path / "file"), tmp_path / "file")


@pytest.mark.parametrize("what", ["a run", "a search", "LEAP", "calls", "a file"])
def test_a_folder_without_rights_is_one_clear_error(tmp_path, monkeypatch, what):
    """The rights of a folder do not bind root, so the refusal is made where the operating system would make it."""
    folder = tmp_path / "locked"
    folder.mkdir()

    def refuse(opened):
        def guarded(self, *arguments, **options):
            if str(folder) in str(self):
                raise PermissionError(13, "Permission denied", str(self))
            return opened(self, *arguments, **options)

        return guarded

    for name in ("open", "mkdir", "iterdir"):
        monkeypatch.setattr(Path, name, refuse(getattr(Path, name)))
    with dspy.context(lm=scripted_lm(simulated)), pytest.raises(RunError, match="Permission denied"):
        BLOCKED[what](folder)
