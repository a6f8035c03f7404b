"""Inputs that Python cannot hash, such as lists and dicts: every verb and every optimiser takes them."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import dspy
import pydantic
import pytest
import typer
from typer.testing import CliRunner

import anytime_dspy as ad
from anytime_dspy.cli import compile
from anytime_dspy.errors import DataError
from anytime_dspy.measure import sweep
from anytime_dspy.optimizers import LEAP, PDP
from anytime_dspy.programs.examples import training_examples
from anytime_dspy.programs.task import Task
from anytime_dspy.storage.jsonl import content_hash
from anytime_dspy.testing import chat, prefill_of, question_of, scripted_lm, words


class Stop(pydantic.BaseModel):
    city: str


VALUES = {
    "list": [[n, 2] for n in range(12)],
    "dict": [{"a": n} for n in range(12)],
    "set": [{f"a{n}", "b"} for n in range(12)],
    "model": [[Stop(city=f"c{n}")] for n in range(12)],
    "image": [dspy.Image(url=f"data:image/png;base64,{'A' * 40}{n:04}") for n in range(12)],
}


def examples(kind: str) -> list[dspy.Example]:
    return [dspy.Example(given=value, total=str(n)).with_inputs("given") for n, value in enumerate(VALUES[kind])]


TYPES = {"list": list[int], "dict": dict[str, int], "set": set[str], "model": list[Stop], "image": dspy.Image}


def program(kind: str) -> ad.Anytime:
    fields = {"given": (TYPES[kind], dspy.InputField()), "total": (str, dspy.OutputField())}
    return ad.Anytime(dspy.ChainOfThought(dspy.Signature(fields, "Add it up.")), (4, 8), answer_tokens=16)


def quality(example, prediction):
    return float(prediction.total == example.total)


def adder():
    """Adds rightly, but wrongly when cut short and every other time that it is sampled."""
    turn = itertools.cycle((0, 1))

    def reply(request):
        first, second = map(int, re.findall(r"\[(\d+), (\d+)\]", question_of(request))[-1])
        if prefill_of(request) is not None:
            return "0"
        wrong = next(turn) if request.config.temperature else 0
        return chat(reasoning=f"{words(6)} or {wrong}", total=str(first + second + wrong))

    return reply


def sampled(request):
    n = (request.config.seed or 0) % 3
    return chat(reasoning=words(3 + n), total=str(n))


@pytest.mark.parametrize("kind", VALUES)
def test_inputs_that_cannot_be_hashed_compile(kind, tmp_path):
    metric = ad.AnytimeIndex(quality)
    train, held_out = examples(kind)[:4], examples(kind)[4:]
    pdp = PDP(metric, samples=3, judge="metric", trials=2, log_dir=tmp_path)
    with dspy.context(lm=scripted_lm(sampled, can_continue=False)):
        compiled = pdp.compile(program(kind), trainset=train, valset=held_out)
        assert compiled(given=VALUES[kind][0]).total is not None
        assert LEAP(metric, samples=2).compile(program(kind), trainset=train)


@pytest.mark.parametrize("kind", VALUES)
def test_a_test_example_is_known_by_its_content_and_never_trained_on(kind):
    pool = examples(kind)
    task = Task("any", "1", "given -> total", load=lambda *_: pool, quality=quality, answer_key=lambda p: p.total)
    twins = examples(kind)[:3]
    assert training_examples(task, "file", 12, 0, twins) == pool[3:]
    with pytest.raises(DataError, match="is a test example"):
        training_examples(task, "file", 12, 0, examples(kind))


def test_a_task_of_lists_is_compiled_on_the_command_line(tmp_path, monkeypatch):
    (tmp_path / "sums.py").write_text(
        "import dspy\n"
        "from anytime_dspy.programs.task import Task, field_text\n"
        "def load(path=None, split='test'):\n"
        "    first = 0 if split == 'test' else 100\n"
        "    return [dspy.Example(id=n, numbers=[n, n + 1], total=str(2 * n + 1)).with_inputs('numbers')\n"
        "            for n in range(first, first + 4)]\n"
        "def quality(example, prediction):\n"
        "    return float(field_text(prediction, 'total') == str(sum(example.numbers)))\n"
        "task = Task('sums', '1', 'numbers: list[int] -> total', load=load, quality=quality,\n"
        "            answer_key=lambda p: field_text(p, 'total') or None, budgets=(4, 8, 16), answer_tokens=16,\n"
        "            needs_labels=False)\n"
    )
    monkeypatch.chdir(tmp_path)
    lm = scripted_lm(adder())
    monkeypatch.setattr("anytime_dspy.cli.options.open_lm", lambda *_, **__: lm)
    app = typer.Typer()
    app.command()(compile.compile_task)
    arguments = [
        "sums.py",
        "--train",
        "3",
        "--samples",
        "4",
        "--trials",
        "0",
        "--threads",
        "1",
        "--out",
        "out",
        "--json",
    ]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["programs"]["plain"]["n"] == 4


@pytest.mark.parametrize("ids", [(1, 0), ("b", 0), (0, 0.5), (2, "")])
def test_an_id_of_0_is_an_id(ids):
    sums = [dspy.Example(id=n, question="?", answer="4").with_inputs("question") for n in ids]
    anytime = ad.Anytime(dspy.ChainOfThought("question -> answer"), (8,), answer_tokens=16)
    with dspy.context(lm=scripted_lm(lambda _: chat(reasoning="so", answer="4"))):
        results = sweep(anytime, sums, ad.AnytimeIndex(lambda example, prediction: 1.0))
    assert [result.id for result in results] == [str(one) for one in ids]


def test_a_set_has_one_content_in_every_process():
    told = (
        "from anytime_dspy.storage.jsonl import content_hash; print(content_hash([{'x': {'a', 'b', 'c', ('d', 'e')}}]))"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", told],
            env={"PYTHONHASHSEED": str(seed), "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[1],
        ).stdout.strip()
        for seed in range(3)
    }
    assert hashes == {content_hash([{"x": {"a", "b", "c", ("d", "e")}}])}
