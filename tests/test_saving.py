"""What a stopping rule would have saved of a sweep, against what it does save."""

from __future__ import annotations

import json

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.cli.results import show
from anytime_dspy.measure import sweep
from anytime_dspy.programs.measurement import MeasuredProgram
from anytime_dspy.statistics.early_stopping import early_stopping, stopped_by
from anytime_dspy.statistics.summary import summarise
from anytime_dspy.storage.run_folder import RunStore
from anytime_dspy.testing import chat, continuing, prefill_of, scripted_lm, words
from tests.test_stability import item


def test_later_budgets_carry_the_answer_forward_unpaid():
    ended = stopped_by(item(("6", "6", "7"), (0.0, 0.5, 1.0)), ad.Converged())
    assert [(point.budget, point.quality, point.reasoning_tokens) for point in ended.points] == [
        (16, 0.0, 16),
        (32, 0.5, 32),
        (64, 0.5, 32),
    ]
    assert [point.prediction["answer"] for point in ended.points] == ["6", "6", "6"]


@pytest.mark.parametrize("answers", [("6", "7", "6"), ("5", "6", "6"), (None, None, "7"), (None, None, None)])
def test_a_run_without_equal_answers_running_is_whole(answers):
    whole = item(answers, (0.0, 0.5, 1.0))
    assert stopped_by(whole, ad.Converged()) == whole


def test_a_sweep_says_what_the_rule_saves_and_costs():
    run = [
        item(("6", "6", "7"), (0.0, 0.0, 1.0)),  # stopped at 32 tokens, and right later
        item(("7", " 7", "6"), (1.0, 1.0, 0.0)),  # stopped at 32 tokens, and wrong later
        item(("1", "2", "3"), (0.0, 0.0, 0.0)),
        item(("4", "5", "6"), (0.0, 0.0, 1.0)),
    ]
    found = early_stopping(run, ad.Converged())
    assert (found.stopped, found.tokens, found.quality.n) == (0.5, 64 / 256, 4)
    assert found.quality.mean == pytest.approx(0)
    assert found.quality.low < 0 < found.quality.high
    assert str(found).startswith("Stopping at 2 equal answers running: 25% fewer reasoning tokens")


def test_the_report_of_a_sweep_says_it_in_one_line(tmp_path, capsys):
    run = [item(("6", "6", "7"), (0.0, 0.0, 1.0)), item(("7", "7", "6"), (1.0, 1.0, 0.0))]
    found = early_stopping(run, ad.Converged())
    show([MeasuredProgram("plain", summarise(run), run, found)], [], tmp_path, title="made", as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert report["stopping"]["plain"]["tokens"] == found.tokens == 0.5
    assert f"- plain: {found}\n" in (tmp_path / "table.md").read_text()


def test_nothing_measured_saves_nothing():
    assert early_stopping([], ad.Converged()) is None


def test_a_sweep_that_stops_is_the_sweep_that_would_have_been_stopped(tmp_path):
    def think(request) -> str:
        had = (prefill_of(request) or "").count("think")
        return str(had // 20)

    def quality(example, prediction) -> float:
        return float(prediction.answer == "1")

    examples = [dspy.Example(question=f"{n}?", id=n + 1).with_inputs("question") for n in range(4)]

    def run(stop: ad.Converged | None, name: str):
        lm = scripted_lm(continuing(chat(reasoning=words(200), answer="sure"), think))
        budgets = (5, 10, 25, 30, 100)
        program = ad.Anytime(dspy.ChainOfThought("question -> answer"), budgets, answer_tokens=20, stop=stop)
        store = RunStore.open(tmp_path / name, {"stop": json.dumps(stop is not None)})
        with dspy.context(lm=lm):
            return sweep(program, examples, ad.AnytimeIndex(quality), store=store), lm.engine.written

    def facts(result) -> list[tuple]:
        return [(p.budget, p.quality, p.reasoning_tokens, p.prediction) for p in result.points]

    for patience in (2, 3):
        rule = ad.Converged(patience=patience)
        whole, dear = run(None, f"whole{patience}")
        ended, cheap = run(rule, f"ended{patience}")
        assert [facts(one) for one in ended] == [facts(stopped_by(one, rule)) for one in whole]
        assert cheap < dear if patience == 2 else cheap <= dear
