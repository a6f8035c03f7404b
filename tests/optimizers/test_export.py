from __future__ import annotations

import json
from dataclasses import replace

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.errors import DataError
from anytime_dspy.optimizers import pairs_dataset
from anytime_dspy.optimizers.judges.base import Judgement
from anytime_dspy.optimizers.pairs.export import trl_rows
from anytime_dspy.optimizers.pairs.pair import build_pairs, read_pairs, write_pairs
from anytime_dspy.optimizers.traces.sampling import Sampling, sample_traces
from anytime_dspy.optimizers.traces.trace import group_traces
from anytime_dspy.testing import chat, prefill_of, scripted_lm
from tests.fakes.programs import Pipeline

TRAINSET = [dspy.Example(question="2 + 2?").with_inputs("question")]


def speaker():
    """Reasons in other words each time it is asked."""
    turns = iter(range(100))
    return lambda r: "4" if prefill_of(r) else chat(reasoning=f"try {next(turns)} and add two to two", answer="4")


def pairs_of(program=None, budgets=(4, 32), adapter=None):
    student = ad.Anytime(program or dspy.ChainOfThought("question -> answer"), budgets, answer_tokens=16)
    with dspy.context(lm=scripted_lm(speaker()), adapter=adapter):
        traces = sample_traces(student, TRAINSET, Sampling(samples=2))
        groups = group_traces(student, TRAINSET, traces)
    row = tuple(1.0 for _ in budgets)
    return build_pairs(groups, Judgement("test", ((row, tuple(0.0 for _ in budgets)),)))


def test_a_row_is_the_plain_prompt_and_reasoning_cut_at_the_budget_without_an_answer():
    short, whole = trl_rows(pairs_of())
    assert [message["role"] for message in short["prompt"]] == ["system", "user"]
    assert "2 + 2?" in short["prompt"][1]["content"]
    assert "at most" not in json.dumps(short["prompt"])  # the rejected trace was sampled under the style "brief"
    assert short["chosen"] == [{"role": "assistant", "content": "[[ ## reasoning ## ]]\ntry 0 and add"}]
    assert whole["rejected"] == [{"role": "assistant", "content": "[[ ## reasoning ## ]]\ntry 1 and add two to two"}]
    assert "answer ##" not in json.dumps([whole["chosen"], whole["rejected"]])


def test_a_prompt_shows_the_students_own_demonstrations():
    program = dspy.ChainOfThought("question -> answer")
    program.predict.demos = [{"question": "1 + 1?", "reasoning": "one and one", "answer": "2"}]
    assert [message["role"] for message in trl_rows(pairs_of(program))[0]["prompt"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]


def test_a_format_whose_answer_cannot_be_begun_gives_the_reasoning_alone():
    student = ad.Anytime(dspy.ChainOfThought("question -> answer"), (32,), answer_tokens=16)
    turns = iter(range(100))
    lm = scripted_lm(lambda _: json.dumps({"reasoning": f"try {next(turns)}", "answer": "4"}))
    with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
        groups = group_traces(student, TRAINSET, sample_traces(student, TRAINSET, Sampling(samples=2)))
    [row] = trl_rows(build_pairs(groups, Judgement("test", (((1.0,), (0.0,)),))))
    assert row["chosen"] == [{"role": "assistant", "content": "try 0"}]


def test_of_several_predictors_those_that_were_asked_the_same_have_rows():
    # The second step is asked the first one's answer: "4" in every trace.
    pairs = pairs_of(Pipeline(2), budgets=(64,))
    assert [sorted(pair.prompts) for pair in pairs] == [["steps[0].predict", "steps[1].predict"]]
    assert ["2 + 2?" in row["prompt"][1]["content"] for row in trl_rows(pairs)] == [True, False]


def test_a_dataset_survives_the_file(tmp_path):
    pairs = pairs_of()
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    again = read_pairs(tmp_path / "pairs.jsonl")
    assert again == pairs
    dataset = pairs_dataset(again)
    assert sorted(dataset.column_names) == ["chosen", "prompt", "rejected"]
    assert dataset.to_list() == trl_rows(pairs)


def test_rows_that_are_the_same_are_there_once():
    pairs = pairs_of()
    assert len(trl_rows([*pairs, *pairs])) == 2


def test_pairs_that_hold_nothing_to_train_on_are_an_error():
    with pytest.raises(DataError, match="compile again"):
        trl_rows([replace(pair, prompts={}) for pair in pairs_of()])
    with pytest.raises(DataError, match="no pair"):
        pairs_dataset([])
