"""The command line: what it prints, what it leaves, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import anytime_dspy as ad
from anytime_dspy.programs import get_task
from tests.fakes.command_line import assert_refused, cli, cli_process

SMALLEST = "smollm2-135m-instruct"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program of the word problems, as the library saves it."""
    path = tmp_path_factory.mktemp("saved") / "program.json"
    ad.Anytime(get_task("word_problems").program(), budgets=(8, 16), answer_tokens=16).save(path)
    return path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sweep", "tripp"], ["tripp", "trip"]),
        (["sweep", "nowhere.py"], ["nowhere.py"]),
        (["sweep", "trip", "--data", "nowhere.json"], ["nowhere.json"]),
        (["sweep", "word_problems", "--model", "smolm"], ["smolm", SMALLEST]),
        (["sweep", "word_problems", "--model", "nowhere.gguf"], ["nowhere.gguf"]),
        (["sweep", "word_problems", "--budgets", "0"], ["0"]),
        (["sweep", "word_problems", "--budgets", "64,64"], ["64", "twice"]),
        (["sweep", "word_problems", "--budgets", "128,64"], ["increase"]),
        (["sweep", "word_problems", "--budgets", "abc"], ["abc"]),
        (["sweep", "word_problems", "--program", "nowhere.json"], ["nowhere.json"]),
        (["models", "pull", "smolm"], ["smolm", SMALLEST]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_line_and_leaves_nothing(arguments, words, tmp_path):
    out = () if arguments[0] == "models" else ("--out", "run")
    assert_refused(cli(*arguments, *out, cwd=tmp_path), *words)
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_a_process_of_its_own_ends_so_too(tmp_path):
    assert_refused(cli_process("sweep", "tripp", "--out", "run", cwd=tmp_path), "tripp", "trip")
    assert not any(tmp_path.iterdir())
    done = cli_process("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "sweep" in done.stdout


def test_a_data_file_cut_in_half_is_refused(tmp_path, shared_data):
    whole = (shared_data / "natural_plan" / "trip_planning.json").read_text()
    (tmp_path / "half.json").write_text(whole[: len(whole) // 2])
    assert_refused(cli("sweep", "trip", "--data", "half.json", "--out", "run", cwd=tmp_path), "half.json")
    assert not (tmp_path / "run").exists()


def test_programs_of_another_task_or_edited_by_hand_are_refused(saved, tmp_path):
    assert_refused(cli("sweep", "trip", "--program", saved, "--out", "run", cwd=tmp_path), "another task")
    state = json.loads(saved.read_text())
    state["anytime"]["budgets"] = "many"
    edited = tmp_path / "edited.json"
    edited.write_text(json.dumps(state))
    assert_refused(cli("sweep", "word_problems", "--program", edited, "--out", "run", cwd=tmp_path), "budgets")
    edited.write_text(saved.read_text()[:100])
    assert_refused(cli("run", edited, "--task", "word_problems", "How many?", cwd=tmp_path), "edited.json")
    assert not (tmp_path / "run").exists()


def results(lines):
    """What was measured, by example: seconds and all, but for the seal, which binds a line to the one before it."""
    read = [json.loads(line) for line in lines.splitlines()]
    return {line["id"]: json.dumps({**line, "seal": None}) for line in read}


@pytest.mark.local_lm
def test_a_sweep_can_be_gone_on_with_and_its_folder_is_nobody_elses(tmp_path):
    common = ("sweep", "word_problems", "--model", SMALLEST, "--out", "run", "--threads", 1)
    first = cli(*common, "--limit", 2, "--budgets", "8,16", "--json", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    report = json.loads(first.stdout)
    assert report["programs"]["plain"]["n"] == 2
    before = (tmp_path / "run" / "results.jsonl").read_text()
    assert len(before.splitlines()) == 2
    for line in before.splitlines():
        for point in json.loads(line)["points"]:
            assert point["reasoning_tokens"] <= point["budget"]
    assert (tmp_path / "run" / "curve.png").read_bytes().startswith(b"\x89PNG")

    second = cli(*common, "--limit", 4, "--budgets", "8,16", cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert "Anytime Index, committed" in second.stdout
    after = (tmp_path / "run" / "results.jsonl").read_text()
    assert results(before).items() <= results(after).items(), "what was measured is not measured again"
    assert 2 < len(after.splitlines()) <= 4

    assert_refused(cli(*common, "--limit", 2, "--budgets", "8,32", cwd=tmp_path), "budgets")
    assert (tmp_path / "run" / "results.jsonl").read_text() == after


@pytest.mark.local_lm
def test_a_saved_program_answers_under_a_budget(saved, tmp_path):
    arguments = ("run", saved, "--task", "word_problems", "--budget", 8, "--model", SMALLEST)
    done = cli(*arguments, "--json", "Ann has 3 nuts and finds 4. How many has she?", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert {"reasoning", "answer"} <= set(answer)
    assert answer["budget"] == 8
    assert answer["reasoning_tokens"] <= 8
    assert_refused(cli(*arguments, "--input", "question=How many?", cwd=tmp_path), "problem")
    assert_refused(cli(*arguments[:-4], "--budget", 0, "How many?", cwd=tmp_path), "0")


def test_models_lists_what_is_here(tmp_path):
    listed = json.loads(cli("models", "--json", cwd=tmp_path, ANYTIME_DSPY_HOME=str(tmp_path)).stdout)
    assert [model["installed"] for model in listed["models"]] == [False, False, False]
    assert SMALLEST in cli("models", cwd=tmp_path).stdout


def test_a_model_without_a_source_says_what_always_works(tmp_path):
    unreachable = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "ANYTIME_DSPY_HOME": str(tmp_path / "home")}
    assert_refused(cli("models", "pull", SMALLEST, cwd=tmp_path, **unreachable), "--model path/to/file.gguf")
