from __future__ import annotations

import asyncio

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.calls.call_cache import CallCache, keeping_calls
from anytime_dspy.errors import RunError
from anytime_dspy.testing import chat, prefill_of, scripted_lm, words
from tests.fakes.programs import Pipeline


def thinker(request):
    return chat(reasoning=words(20), answer="late") if prefill_of(request) is None else "early"


def run(lm, path, program=None, **config):
    with dspy.context(lm=lm), keeping_calls(path), ad.budget(8, answer_tokens=16) as spent:
        return (program or dspy.ChainOfThought("question -> answer"))(question="?", config=config), spent


@pytest.mark.parametrize("can_continue", [True, False])
def test_a_call_that_is_kept_is_not_made_again_and_costs_what_it_cost(tmp_path, can_continue):
    lm = scripted_lm(thinker, can_continue=can_continue)
    first, spent = run(lm, tmp_path / "calls.jsonl")
    assert len(lm.engine.requests) == 2
    again, spent_again = run(lm, tmp_path / "calls.jsonl")
    assert len(lm.engine.requests) == 2
    assert again == first
    assert spent_again.usage == spent.usage
    assert spent_again.calls == spent.calls


def test_calls_of_an_async_program_are_kept_too(tmp_path):
    lm = scripted_lm(thinker)

    async def answer():
        with dspy.context(lm=lm), keeping_calls(tmp_path / "calls.jsonl"), ad.budget(8, answer_tokens=16):
            return await Pipeline(2).acall(question="?")

    assert asyncio.run(answer()) == asyncio.run(answer())
    assert len(lm.engine.requests) == 3  # the first step's run, and both answers


def test_typed_values_are_what_they_were(tmp_path):
    lm = scripted_lm(lambda _: chat(numbers="[1, 2]"))
    program = dspy.Predict("question -> numbers: set[int]")
    for _ in range(2):
        prediction, _ = run(lm, tmp_path / "calls.jsonl", program)
        assert prediction.numbers == {1, 2}
    assert len(lm.engine.requests) == 1


@pytest.mark.parametrize("config", [{"rollout_id": 2, "temperature": 1.0}, {"temperature": 0.5}, {"seed": 4}])
def test_another_rollout_or_option_is_another_call(tmp_path, config):
    lm = scripted_lm(thinker)
    run(lm, tmp_path / "calls.jsonl", temperature=1.0)
    made = len(lm.engine.requests)
    run(lm, tmp_path / "calls.jsonl", **config)
    assert len(lm.engine.requests) > made


def test_a_block_inside_another_keeps_its_calls_there(tmp_path):
    with keeping_calls(tmp_path / "outer.jsonl"):
        run(scripted_lm(thinker), tmp_path / "inner.jsonl")
    assert len((tmp_path / "outer.jsonl").read_text().splitlines()) == 1 + 2
    assert not (tmp_path / "inner.jsonl").exists()


def test_a_call_that_failed_is_not_kept(tmp_path):
    replies = iter([dspy.lm15.ServerError("overloaded")])

    def moody(request):
        for error in replies:
            raise error
        return thinker(request)

    lm = scripted_lm(moody, num_retries=0)
    with pytest.raises(Exception, match="overloaded"):
        run(lm, tmp_path / "calls.jsonl")
    assert run(lm, tmp_path / "calls.jsonl")[0].answer == "early"


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "calls.jsonl"
    run(scripted_lm(thinker), path)
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(RunError, match="no LM call"):
        run(scripted_lm(thinker), path)


def test_no_secret_is_written(tmp_path):
    lm = scripted_lm(thinker)
    lm.kwargs["api_key"] = "sk-secret"
    run(lm, tmp_path / "calls.jsonl")
    assert "secret" not in (tmp_path / "calls.jsonl").read_text()


def test_two_that_work_side_by_side_make_each_call_once(tmp_path):
    lm, path = scripted_lm(thinker), tmp_path / "calls.jsonl"
    here, there = CallCache(path), CallCache(path)  # as two processes have it open

    def asked(log):
        with dspy.context(lm=lm, anytime_call_cache=log), ad.budget(8, answer_tokens=16):
            return dspy.ChainOfThought("question -> answer")(question="?")

    assert asked(here) == asked(there)
    assert len(lm.engine.requests) == 2
