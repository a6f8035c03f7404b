"""What a compile left, as a report shows it."""

from __future__ import annotations

import json

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.cli.compile_folder import read_compiled
from anytime_dspy.cli.show import present
from anytime_dspy.errors import RunError
from anytime_dspy.optimizers.judges.base import Judgement
from anytime_dspy.optimizers.pairs.pair import build_pairs, write_pairs
from anytime_dspy.storage.jsonl import write_json
from anytime_dspy.storage.run_folder import RunStore
from tests.optimizers.made import group
from tests.report.made import made_run


@pytest.fixture
def folder(tmp_path):
    """A compile's folder: the program, one pair a budget of which the second is selected, and the report."""
    path = tmp_path / "pdp"
    RunStore.open(path, {"task": "sums"})
    program = dspy.ChainOfThought(dspy.Signature("question -> answer", "Add briefly."))
    program.predict.demos = [dspy.Example(question="1 + 1?", reasoning="one and one", answer="2")]
    ad.Anytime(program, budgets=(16, 32), answer_tokens=32).save(path / "program.json")
    groups = [group(("2", "2"), ("3", "3"), problem="What is 1 + 1?")]
    pairs = build_pairs(groups, Judgement("votes", [[[1.0, 1.0], [0.0, 0.0]]]))
    write_pairs(path / "pairs.jsonl", pairs, [pair for pair in pairs if pair.budget == 32])
    usage = {"prompt_tokens": 1200, "reasoning_tokens": 0, "answer_tokens": 30, "hidden_tokens": 0, "calls": 8}
    write_json(
        path / "report.json",
        {
            "judge": "votes",
            "traces": 2,
            "judging": usage,
            "gold": {"agree": 29, "disagree": 2},
            "judged": {"usage": usage},
            "search": {"score": 0.5, "usage": usage},
            "rounds": [{"number": 1, "trials": [{"place": 0, "value": 0.25}, {"place": 1, "value": None}]}],
        },
    )
    made_run(path / "plain", n=4)
    made_run(path / "compiled", (0.5, 0.9, 0.9, 1.0), n=4, change={"program": "pdp"})
    return path


def test_a_compile_shows_what_was_learned_from_what_and_at_what_price(folder):
    compiled = read_compiled(folder)
    (learned,) = compiled.predictors
    assert learned.instructions == "Add briefly."
    assert [field.text for field in learned.demonstrations[0]] == ["1 + 1?", "one and one", "2"]
    assert [(pair.budget, pair.selected) for pair in compiled.pairs] == [(32, True), (16, False)]
    pair = compiled.pairs[0]
    assert (pair.chosen.answer[0].text, pair.rejected.answer[0].text) == ("2", "3")
    assert pair.chosen.reasoning == "thought 0 up to 32"
    assert {field.name: field.text for field in compiled.facts} == {
        "judge": "votes",
        "traces": "2",
        "gold": "agree 29, disagree 2",
        "search": "score 0.5",
    }
    cost, rounds, trials = compiled.grids
    assert cost.rows == tuple((part, "1,200", "0", "30", "0", "8") for part in ("judging", "search"))
    assert rounds.rows == (("1",),)
    assert (trials.caption, trials.columns) == ("trials", ("place", "value"))
    assert trials.rows == (("0", "0.250"), ("1", "–"))


def test_the_page_of_a_compile_holds_both_runs_and_the_program(folder, capsys):
    present([folder], [folder / "report.html"], target=None, seed=0, as_json=False)
    page = (folder / "report.html").read_text()
    for wanted in ("Add briefly.", "one and one", "What is 1 + 1?", "32 tokens, selected", "thought 1 up to 32"):
        assert wanted in page
    assert "Differences" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["program.json", "report.json", "pairs.jsonl"])
@pytest.mark.parametrize("content", ["[1]\n", '{"half": \n', "\x00\n"])
def test_a_damaged_file_is_one_error(folder, name, content):
    (folder / name).write_text(content)
    with pytest.raises(RunError, match=name) as refusal:
        read_compiled(folder)
    assert "\n" not in str(refusal.value)


def test_a_compile_that_has_not_ended_is_a_report_of_its_first_sweep(folder, capsys):
    for name in ("program.json", "report.json", "pairs.jsonl"):
        (folder / name).unlink()
    present([folder], [folder / "report.html"], target=None, seed=0, as_json=True)
    assert list(json.loads(capsys.readouterr().out)["runs"]) == ["plain", "compiled"]
    assert "The compiled program" not in (folder / "report.html").read_text()
