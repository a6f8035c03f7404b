"""A checkpoint tells apart what was answered, what could not be read, and what its own allowance cut off."""

from __future__ import annotations

import json
from dataclasses import fields, make_dataclass, replace

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.answers import answer_text, key_at
from anytime_dspy.checkpoint import ScoredCheckpoint
from anytime_dspy.cli.show import present
from anytime_dspy.measure import sweep
from anytime_dspy.report.examples import items
from anytime_dspy.report.flat_table import point_rows
from anytime_dspy.report.overview import overview
from anytime_dspy.report.page import render_page
from anytime_dspy.report.tables import markdown_table, summary_grid
from anytime_dspy.statistics.summary import summarise
from anytime_dspy.storage.results import without_texts
from anytime_dspy.storage.run_folder import RunStore
from anytime_dspy.storage.runs import read_runs
from anytime_dspy.testing import chat, prefill_of, question_of, scripted_lm, words

QUESTIONS = ("short", "long", "broken")
METRIC = ad.AnytimeIndex(lambda example, prediction: float(prediction.answer == example.answer))
FINGERPRINT = {"task": "states", "task version": "1", "model": "scripted", "budgets": (4, 64), "scorer": "exact"}


def reply(request):
    """Thinks five words, then answers as its question says; asked before that, it gives the same answer."""
    answer = {"short": "say0", "long": words(90, "say"), "broken": ""}[question_of(request).split()[5]]
    return answer if prefill_of(request) is not None else chat(reasoning=words(5), answer=answer)


def answered(question: str, **options) -> tuple[ad.Checkpoint, ...]:
    with dspy.context(lm=scripted_lm(reply)):
        return ad.Anytime(dspy.ChainOfThought("question -> answer"), (4, 64), answer_tokens=12, **options)(
            question=question
        ).checkpoints


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A sweep of three questions at two budgets."""
    store = RunStore.open(tmp_path_factory.mktemp("states") / "run", FINGERPRINT)
    examples = [
        dspy.Example(id=question, question=question, answer="say0").with_inputs("question") for question in QUESTIONS
    ]
    program = ad.Anytime(dspy.ChainOfThought("question -> answer"), (4, 64), answer_tokens=12)
    with dspy.context(lm=scripted_lm(reply)):
        sweep(program, examples, METRIC, store=store)
    return store.path


def test_a_checkpoint_tells_a_cut_answer_from_one_that_cannot_be_read():
    assert [checkpoint.state for checkpoint in answered("short")] == ["answered"] * 2
    assert [checkpoint.state for checkpoint in answered("long")] == ["censored"] * 2
    assert [checkpoint.state for checkpoint in answered("broken")] == ["unreadable"] * 2


def test_an_answer_longer_than_its_allowance_is_told_of_and_still_stands():
    forced, ended = answered("long")
    assert (forced.forced, ended.forced) == (True, False)
    assert forced.prediction.answer == words(12, "say")
    for checkpoint in (forced, ended):
        assert checkpoint.answered
        assert checkpoint.censored
        assert [call.censored for call in checkpoint.calls] == [True]


def test_a_bare_budget_tells_of_it_too():
    for question, censored in (("long", True), ("short", False)):
        with dspy.context(lm=scripted_lm(reply)), ad.budget(64, answer_tokens=12) as spent:
            dspy.ChainOfThought("question -> answer")(question=question)
        assert spent.censored is censored


def test_an_answer_that_fills_its_cap_to_the_mark_is_whole():
    """The mark of completion was begun, or the JSON object closed: nothing of the answer is missing."""
    text = chat(reasoning=words(5), answer=words(2, "say"))
    for answer_tokens, censored in ((7, True), (8, False), (12, False)):
        lm = scripted_lm([text])
        with dspy.context(lm=lm), ad.budget(10, answer_tokens=answer_tokens) as spent:
            dspy.ChainOfThought("question -> answer")(question="?")
        assert (spent.censored, spent.forced) == (censored, False)
    forced = scripted_lm([chat(reasoning=words(50), answer="late"), chat(answer="say0")], can_continue=False)
    with dspy.context(lm=forced), ad.budget(10, answer_tokens=8) as spent:
        dspy.ChainOfThought("question -> answer")(question="?")
    assert (spent.censored, spent.forced) == (False, True)
    text = json.dumps({"reasoning": words(5), "answer": words(9, "say")})
    for missing in (0, 1):
        lm = scripted_lm([text])
        cap = lm.engine.counter.count(text) - missing
        with dspy.context(lm=lm, adapter=dspy.JSONAdapter()), ad.budget(cap - 9, answer_tokens=9) as spent:
            dspy.ChainOfThought("question -> answer")(question="?")
        assert (spent.censored, spent.forced) == (bool(missing), False)


def test_an_answer_cut_off_before_it_can_be_read_is_censored_and_scores_zero():
    program = dspy.ChainOfThought("question -> answer: list[int]")
    lm = scripted_lm(lambda r: "so " + words(90) if prefill_of(r) else chat(reasoning=words(50), answer="[1]"))
    with dspy.context(lm=lm):
        (checkpoint,) = ad.Anytime(program, (4,), answer_tokens=12)(question="?").checkpoints
    assert (checkpoint.answered, checkpoint.censored, checkpoint.state) == (False, True, "censored")
    assert METRIC.curve(dspy.Example(answer=None), dspy.Prediction(checkpoints=(checkpoint,))).qualities == (0.0,)


def test_a_run_keeps_the_states_and_its_tables_count_them(folder):
    (run,) = read_runs([folder])
    assert [[point.state for point in result.points] for result in run.results] == [
        ["answered"] * 2,
        ["censored"] * 2,
        ["unreadable"] * 2,
    ]
    summary = summarise(run.results)
    assert summary.states == {"answered": 2, "censored": 2, "unreadable": 2}
    assert (summary.answer_rate, summary.censored_rate) == (pytest.approx(4 / 6), pytest.approx(2 / 6))
    assert [point.censored_rate for point in summary.points] == [pytest.approx(1 / 3)] * 2
    grid = summary_grid([("plain", summary)])
    assert ("Answer rate", "67%") in grid.rows
    assert ("Cut answers", "33%") in grid.rows
    said = "Of plain's 6 answers 2 could not be read and count 0, 2 were cut off at answer_tokens, their own allowance."
    assert said in grid.caption
    assert said in markdown_table([("plain", summary)])


def test_an_optimiser_that_reads_is_told_what_was_no_wrong_answer():
    with dspy.context(lm=scripted_lm(reply)):
        program = ad.Anytime(dspy.ChainOfThought("question -> answer"), (4, 64), answer_tokens=12)
        told = [METRIC(dspy.Example(answer="?"), program(question=q), pred_name="predict").feedback for q in QUESTIONS]
    assert "At 4, 64 tokens the answer was cut off at its own allowance of tokens." in told[1]
    assert "At 4, 64 tokens no answer could be read." in told[2]
    assert " At " not in told[0]


def test_a_run_in_which_all_was_answered_has_no_such_remark(folder):
    (run,) = read_runs([folder])
    assert "answers" not in summary_grid([("plain", summarise(run.results[:1]))]).caption


def test_reports_tell_of_each_state(folder, capsys):
    found = overview(read_runs([folder]))
    by_id = {item.id: [step.state for step in item.attempts[0].steps] for item in items(found.runs)}
    assert by_id == {
        "broken": ["no answer"] * 2,
        "long": ["cut, answer forced and cut off", "answer cut off"],
        "short": ["cut, answer forced", "ended by itself"],
    }
    page = render_page(found)
    assert "Cut answers" in page
    assert "cut, answer forced and cut off" in page
    assert [row["censored"] for row in point_rows(found.runs)] == [False] * 2 + [True] * 2 + [False] * 2
    present([folder], [], target=None, seed=0, as_json=True)
    (told,) = json.loads(capsys.readouterr().out)["runs"].values()
    assert told["summary"]["states"] == {"answered": 2, "censored": 2, "unreadable": 2}


def test_a_private_answer_without_a_key_is_like_no_other(folder):
    result, *_ = RunStore.read(folder).results()
    for key, expected in ((lambda prediction: "A", ["a", "a"]), (lambda prediction: None, [None, None])):
        points = without_texts(result, key).points
        assert [key_at(point, answer_text) for point in points] == expected


def test_runs_of_older_versions_are_read(tmp_path, folder):
    """Their lines do not say what was cut off."""
    store = RunStore.open(tmp_path / "old", FINGERPRINT)
    names = [field.name for field in fields(ScoredCheckpoint) if field.name != "censored"]
    old_point = make_dataclass("OldPoint", names)
    for result in RunStore.read(folder).results():
        points = [old_point(*(getattr(point, name) for name in names)) for point in result.points]
        store.append(replace(result, points=points))
    assert "censored" not in (store.path / "results.jsonl").read_text()
    results = RunStore.read(store.path).results()
    assert [result.points[0].state for result in results] == ["answered", "answered", "unreadable"]
