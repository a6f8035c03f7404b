"""Saved programs: ours in plain DSPy, plain DSPy's in ours, and broken ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.testing import chat, scripted_lm
from tests.fakes.programs import Pipeline

ROOT = Path(__file__).resolve().parents[1]
DEMO = dspy.Example(question="a?", reasoning="so", answer="b").with_inputs("question")


def learned() -> dspy.ChainOfThought:
    program = dspy.ChainOfThought("question -> answer")
    program.predict.signature = program.predict.signature.with_instructions("Be brief.")
    program.predict.demos = [DEMO]
    return program


def fresh(**options: Any) -> ad.Anytime:
    return ad.Anytime(dspy.ChainOfThought("question -> answer"), (1, 2), **options)


def check_learned(program: dspy.Module) -> None:
    predictor = program.predictors()[0]
    assert predictor.signature.instructions == "Be brief."
    assert [dict(demo) for demo in predictor.demos] == [dict(DEMO)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "program.json"
    ad.Anytime(learned(), (16, 32), answer_tokens=9, mode="contract").save(path)
    return path


def test_a_saved_program_loads_with_its_budgets(path):
    program = fresh()
    assert program.load(path) is program
    check_learned(program)
    assert (program.budgets, program.answer_tokens, program.state.mode) == ((16, 32), 9, "contract")


def test_a_stopping_rule_is_saved_with_the_budgets(path, tmp_path):
    ad.Anytime(learned(), (16, 32), stop=ad.Converged(patience=3)).save(tmp_path / "stopping.json")
    program = fresh()
    program.load(tmp_path / "stopping.json")
    assert program.state.stop == ad.Converged(patience=3)
    program.load(path)
    assert program.state.stop is None


def test_budgets_saved_before_there_were_stopping_rules_load(path):
    path.write_bytes(edit(lambda state: state["anytime"].pop("stop") and None)(path.read_bytes()))
    assert fresh().load(path).budgets == (16, 32)


def test_a_saved_program_is_a_plain_dspy_program(path):
    program = dspy.ChainOfThought("question -> answer")
    program.load(path)
    check_learned(program)


def test_a_bare_programs_file_loads_and_keeps_the_budgets(tmp_path):
    learned().save(tmp_path / "bare.json")
    program = fresh(answer_tokens=7)
    program.load(tmp_path / "bare.json")
    check_learned(program)
    assert (program.budgets, program.answer_tokens) == ((1, 2), 7)


def test_a_program_bound_to_one_budget_keeps_it(path):
    program = fresh().at(5)
    program.load(path)
    check_learned(program)
    assert program.state.budgets == (5,)


@pytest.mark.parametrize("make", [lambda: dspy.Predict("question -> answer"), lambda: Pipeline(2)])
def test_predictors_and_pipelines_save_and_load_alike(make, tmp_path):
    program, bare, wrapped = make(), make(), ad.Anytime(make(), (1, 2))
    for predictor in program.predictors():
        predictor.demos = [DEMO]
    ad.Anytime(program, (16, 32)).save(tmp_path / "program.json")
    bare.load(tmp_path / "program.json")
    wrapped.load(tmp_path / "program.json")
    assert wrapped.budgets == (16, 32)
    for loaded in (bare, wrapped):
        assert all([dict(demo) for demo in predictor.demos] == [dict(DEMO)] for predictor in loaded.predictors())
    assert "anytime" not in vars(wrapped.program)


def test_a_pickled_state_loads_too(tmp_path):
    ad.Anytime(learned(), (16, 32)).save(tmp_path / "program.pkl")
    program = fresh()
    program.load(tmp_path / "program.pkl", allow_pickle=True)
    check_learned(program)
    assert program.budgets == (16, 32)


class Parent(dspy.Module):
    def __init__(self, child: dspy.Module) -> None:
        super().__init__()
        self.child = child
        self.own = dspy.Predict("text -> label")

    def forward(self, question: str) -> dspy.Prediction:
        return self.own(text=self.child(question=question).answer)


def test_budgets_are_saved_with_the_module_around(tmp_path):
    Parent(ad.Anytime(learned(), (16, 32), answer_tokens=9)).save(tmp_path / "parent.json")
    parent = Parent(fresh())
    parent.load(tmp_path / "parent.json")
    assert (parent.child.budgets, parent.child.answer_tokens) == ((16, 32), 9)
    assert [name for name, _ in parent.named_predictors()] == ["child.predict", "own"]
    check_learned(parent.child)


def edit(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    def edited(text: bytes) -> bytes:
        state = json.loads(text)
        changed = change(state)
        return json.dumps(state if changed is None else changed).encode()

    return edited


def put(*keys: Any) -> Callable[[bytes], bytes]:
    *path, last, value = keys

    def change(state: Any) -> None:
        for key in path:
            state = state[key]
        state[last] = value

    return edit(change)


BROKEN = {
    "cut in half": lambda text: text[: len(text) // 2],
    "empty": lambda text: b"",
    "not JSON": lambda text: b"question -> answer",
    "not text": lambda text: b"\x80\x81",
    "a list": edit(lambda state: []),
    "null": lambda text: b"null",
    "nothing in it": edit(lambda state: {}),
    "metadata alone": edit(lambda state: {"metadata": state["metadata"]}),
    "no metadata": edit(lambda state: state.pop("metadata") and None),
    "metadata a list": put("metadata", []),
    "versions a list": put("metadata", "dependency_versions", []),
    "an unknown version": put("metadata", "dependency_versions", "left-pad", "1"),
    "no predictor": edit(lambda state: state.pop("predict") and None),
    "another predictor": edit(lambda state: state.update(other=state.pop("predict"))),
    "predictor a list": put("predict", []),
    "no signature": edit(lambda state: state["predict"].pop("signature") and None),
    "fields a number": put("predict", "signature", "fields", 3),
    "fields null": put("predict", "signature", "fields", None),
    "a field renamed": put("predict", "signature", "fields", 0, {"prefix": "Query:", "description": "${query}"}),
    "a field without prefix": edit(lambda state: state["predict"]["signature"]["fields"][0].pop("prefix") and None),
    "a field without description": edit(
        lambda state: state["predict"]["signature"]["fields"][0].pop("description") and None
    ),
    "a field too few": edit(lambda state: state["predict"]["signature"]["fields"].pop() and None),
    "no instructions": edit(lambda state: state["predict"]["signature"].pop("instructions") and None),
    "instructions a list": put("predict", "signature", "instructions", ["Be brief."]),
    "no demos": edit(lambda state: state["predict"].pop("demos") and None),
    "demos text": put("predict", "demos", "a?"),
    "demos of texts": put("predict", "demos", ["a?"]),
    "no lm": edit(lambda state: "lm" in state["predict"] and (state["predict"].pop("lm"), None)[1]),
    "lm a text": put("predict", "lm", "gpt"),
    "lm without model": put("predict", "lm", {"temperature": 1}),
    "budgets text": put("anytime", "budgets", "16"),
    "budgets falling": put("anytime", "budgets", [32, 16]),
    "budgets empty": put("anytime", "budgets", []),
    "budgets null": put("anytime", None),
    "no budgets": put("anytime", {}),
    "answer tokens zero": put("anytime", "answer_tokens", 0),
    "unknown mode": put("anytime", "mode", "both"),
    "stop a number": put("anytime", "stop", 2),
    "a patience of one": put("anytime", "stop", {"patience": 1}),
    "an unknown rule": put("anytime", "stop", {"tolerance": 0.1}),
}


@pytest.mark.parametrize("how", sorted(BROKEN))
def test_a_broken_file_is_refused_in_one_line_and_changes_nothing(path, how):
    path.write_bytes(BROKEN[how](path.read_bytes()))
    program = fresh()
    before = program.dump_state()
    with pytest.raises(ad.ProgramError) as refusal:
        program.load(path)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400
    assert program.dump_state() == before


def test_a_program_of_another_task_is_refused(path, tmp_path):
    other = ad.Anytime(dspy.ChainOfThought("problem -> answer"), (1, 2))
    with pytest.raises(ad.ProgramError, match="another task"):
        other.load(path)
    with pytest.raises(ad.ProgramError, match="another program"):
        ad.Anytime(Pipeline(2), (1, 2)).load(path)


@pytest.mark.parametrize("name", ["missing.json", "folder.json", "program.txt"])
def test_what_is_no_file_of_ours_is_refused(tmp_path, name):
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(ad.ProgramError) as refusal:
        fresh().load(tmp_path / name)
    assert name in str(refusal.value)
    assert "\n" not in str(refusal.value)


WITHOUT_US = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "anytime_dspy":
            raise ImportError("anytime_dspy is not installed here")

sys.meta_path.insert(0, Block())
import dspy
from dspy.lm15 import Message, Response, Usage

class Engine:
    def complete(self, request):
        assert "Be brief." in str(request.system), request.system
        text = "[[ ## reasoning ## ]]\\nso\\n\\n[[ ## answer ## ]]\\n" + str(len(request.messages))
        return Response(None, request.model, Message.assistant(text), "stop", Usage())

program = dspy.ChainOfThought("question -> answer")
program.load(sys.argv[1])
with dspy.context(lm=dspy.LM("plain/engine", engine=Engine(), cache=False)):
    print(program(question="?").answer)
assert not any(name.partition(".")[0] == "anytime_dspy" for name in sys.modules)
"""


def test_a_compiled_program_runs_where_this_library_is_not_installed(path):
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_US, str(path)], capture_output=True, text=True, timeout=120, cwd=path.parent
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "3"  # one demonstration, two messages long, and the question


def test_a_loaded_program_answers_under_its_budgets(path):
    program = fresh()
    program.load(path)
    with dspy.context(lm=scripted_lm(lambda request: chat(reasoning="so", answer="b"))):
        prediction = program(question="?")
    assert [checkpoint.budget for checkpoint in prediction.checkpoints] == [16, 32]
