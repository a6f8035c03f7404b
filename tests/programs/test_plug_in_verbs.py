"""A task in a user's own file, or behind an entry point, with the verbs of the command line."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from anytime_dspy.cli import compile, run, sweep
from anytime_dspy.errors import AnytimeError, DataError
from anytime_dspy.testing import Reply, chat, prefill_of, question_of, scripted_lm
from tests.programs.test_registry import install

SUMS = """
import dspy
from anytime_dspy.programs.task import Task, field_text

def examples(n, seed):
    numbers = range(100 * seed, 100 * seed + n)
    return [
        dspy.Example(id=f"sum-{a}", a=str(a), b=str(a + 1), total=str(2 * a + 1)).with_inputs("a", "b") for a in numbers
    ]

def load(path=None, split="test"):
    return examples(3, 7)

def quality(example, prediction):
    return float(field_text(prediction, "total") == str(int(example.a) + int(example.b)))

def answer_key(prediction):
    return field_text(prediction, "total") or None

task = Task(
    "sums", "1", "a, b -> total", load=load, quality=quality, answer_key=answer_key, generator=examples,
    budgets=(4, 8, 16), answer_tokens=16, needs_labels=False,
)
"""


def adder() -> Reply:
    """Adds rightly, but wrongly when cut short and every other time that it is sampled."""
    turn = itertools.cycle((0, 1))

    def reply(request) -> str:
        total = sum([int(word) for word in question_of(request).split() if word.isdigit()][-2:])
        if prefill_of(request) is not None:
            return str(total + 1)
        wrong = next(turn) if request.config.temperature else 0
        return chat(reasoning=f"We add them and get {total + wrong}.", total=str(total + wrong))

    return reply


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Runs a verb on a scripted LM, in a folder with my_task.py."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("anytime_dspy.cli.options.open_lm", lambda *_, **__: scripted_lm(adder(), temperature=0.0))
    (tmp_path / "my_task.py").write_text(SUMS)
    app = typer.Typer()
    app.command("sweep")(sweep.sweep)
    app.command("compile")(compile.compile_task)
    app.command("run")(run.run)

    def call(*arguments: object) -> dict:
        done = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
        return json.loads(done.stdout)

    return call


@pytest.mark.slow
def test_every_verb_takes_a_task_file(invoke) -> None:
    swept = invoke("sweep", "my_task.py", "--data", "any", "--out", "swept")
    assert swept["programs"]["plain"]["n"] == 3
    assert swept["programs"]["plain"]["final"] == 1.0

    arguments = ("--train", 3, "--samples", 6, "--trials", 0, "--limit", 4, "--threads", 1, "--out", "compiled")
    compiled = invoke("compile", "my_task.py", *arguments)
    assert compiled["programs"]["plain"]["n"] == 4

    inputs = ("--input", "a=20", "--input", "b=22")
    answer = invoke("run", "compiled/program.json", "--task", "my_task.py", "--budget", 16, *inputs)
    assert answer["total"] == "42"


def test_an_installed_task_is_known_by_its_name(invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "my_task:task", name="sums")
    assert invoke("sweep", "sums", "--limit", 2, "--threads", 2, "--out", "swept")["programs"]["plain"]["n"] == 2


def test_a_task_file_that_does_not_run_ends_a_verb_before_any_call(invoke, tmp_path: Path) -> None:
    (tmp_path / "my_task.py").write_text("import nothing_of_the_kind\n")
    for verb in ("sweep", "compile"):
        with pytest.raises(DataError, match=r"my_task\.py does not import \(ModuleNotFoundError"):
            invoke(verb, "my_task.py", "--out", "never")
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("return examples(3, 7)", "return [{'a': 1, 'b': 2}]", "does not load (AttributeError"),
        ("return examples(3, 7)", "return [dspy.Example(a=1)]", "does not load (ValueError"),
        ("return examples(3, 7)", "return {}['path']", "does not load (KeyError"),
        ("return examples(3, 7)", "return []", "holds no examples"),
        ('"a, b -> total"', '"a, b"', "write it as in 'question -> answer'"),
        ("(4, 8, 16)", "(8, 4)", "increase"),
    ],
)
def test_a_task_that_breaks_the_contract_is_one_clear_error(
    invoke, tmp_path: Path, right: str, wrong: str, complaint: str
) -> None:
    assert right in SUMS
    (tmp_path / "my_task.py").write_text(SUMS.replace(right, wrong))
    with pytest.raises(AnytimeError) as caught:
        invoke("sweep", "my_task.py", "--data", "any", "--out", "never")
    assert complaint in str(caught.value)
    assert not (tmp_path / "never").exists()
