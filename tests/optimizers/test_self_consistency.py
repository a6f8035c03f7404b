from __future__ import annotations

import asyncio

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.errors import AnytimeError, ProgramError
from anytime_dspy.optimizers import SelfConsistency
from anytime_dspy.optimizers.self_consistency import equal_share
from anytime_dspy.runtime.allowance import Remaining
from anytime_dspy.testing import chat, prefill_of, scripted_lm, words
from tests.fakes.programs import Pipeline


def voter(*answers, length=3):
    """Thinks for `length` words and gives these answers in turn; an answer that is forced is "forced"."""
    turns = iter(answers * 20)
    return lambda r: "forced" if prefill_of(r) else chat(reasoning=words(length), answer=next(turns))


def voting(samples=3, **options):
    return SelfConsistency(dspy.ChainOfThought("question -> answer"), samples, **options)


def asked(program, lm):
    with dspy.context(lm=lm):
        return program(question="?")


def test_the_answer_is_the_most_common_one():
    lm = scripted_lm(voter("4", "Five", "five"))
    assert asked(voting(), lm).answer == "Five"
    assert len(lm.engine.requests) == 3
    assert len({request.config.seed for request in lm.engine.requests}) == 3
    assert {request.config.temperature for request in lm.engine.requests} == {0.7}


def test_of_equals_the_first_one_wins():
    assert asked(voting(), scripted_lm(voter("a", "b", "c"))).answer == "a"


def test_answers_are_compared_by_their_key():
    program = voting(answer_key=lambda prediction: prediction.answer[-1])
    assert asked(program, scripted_lm(voter("4", "x5", "y5"))).answer == "x5"


def test_each_run_gets_an_equal_share_of_the_budget():
    lm = scripted_lm(voter("never", length=100))
    with ad.budget(12, answer_tokens=16) as spent:
        assert asked(voting(), lm).answer == "forced"
    assert [call.reasoning_tokens for call in spent.calls] == [4, 4, 4]
    assert spent.reasoning == 12


def test_what_one_run_leaves_the_others_may_use():
    replies = iter([chat(reasoning=words(2), answer="short"), *[chat(reasoning=words(50), answer="late")] * 2])
    lm = scripted_lm(lambda request: "forced" if prefill_of(request) else next(replies))
    with ad.budget(12, answer_tokens=16) as spent:
        assert asked(voting(), lm).answer == "forced"
    assert [call.reasoning_tokens for call in spent.calls] == [2, 5, 5]


def test_seconds_and_dollars_are_shared_too():
    assert equal_share(Remaining(seconds=9.0, dollars=0.75), 3) == ad.Budget(seconds=3.0, dollars=0.25)
    assert equal_share(Remaining(tokens=0, seconds=-1.0), 2).tokens == 1


@pytest.mark.parametrize("tokens", [1, 2, 3, 7])
def test_all_runs_together_never_reason_longer_than_the_budget(tokens):
    with ad.budget(tokens, answer_tokens=16) as spent:
        assert asked(voting(), scripted_lm(voter("never", length=100))).answer == "forced"
    assert len(spent.calls) == 3
    assert spent.reasoning <= tokens


def test_a_sweep_splits_every_budget():
    anytime = ad.Anytime(voting(), (6, 12), answer_tokens=16, mode="contract")
    prediction = asked(anytime, scripted_lm(voter("right", length=100)))
    spent = [[call.reasoning_tokens for call in checkpoint.calls] for checkpoint in prediction.checkpoints]
    assert spent == [[2, 2, 2], [4, 4, 4]]
    assert {call.predictor for call in prediction.checkpoints[0].calls} == {"program.predict"}
    assert asked(anytime.at(90), scripted_lm(voter("a", "b", "b", length=9))).answer == "b"


def test_one_trace_that_would_be_cut_is_refused():
    lm = scripted_lm(voter("a"))
    with pytest.raises(ProgramError, match='mode="contract"'):
        asked(ad.Anytime(voting(), (6, 12)), lm)
    assert not lm.engine.requests


def test_programs_of_several_steps_vote_with_their_last_answer():
    lm = scripted_lm(voter("mid", "a", "mid", "b", "mid", "b"))
    assert asked(SelfConsistency(Pipeline(2), 3), lm).answer == "b"


def test_votes_can_be_awaited():
    async def answer():
        with dspy.context(lm=scripted_lm(voter("a", "b", "b", length=9))), ad.budget(60, answer_tokens=16):
            return await voting().acall(question="?")

    assert asyncio.run(answer()).answer == "b"


def test_what_is_compiled_into_the_program_is_what_votes():
    program = voting()
    program.program.predict.demos = [{"question": "q", "reasoning": "r", "answer": "shown"}]
    lm = scripted_lm(voter("a"))
    asked(program, lm)
    assert all(any("shown" in (message.text or "") for message in r.messages) for r in lm.engine.requests)
    assert program.program.predict.config == {}


@pytest.mark.parametrize("options", [{"samples": 1}, {"temperature": 0.0}])
def test_options_that_cannot_be_used_are_refused(options):
    with pytest.raises(AnytimeError, match="must be"):
        voting(**options)


def test_an_anytime_program_inside_is_refused_and_the_right_order_named():
    with pytest.raises(ProgramError, match="the other way round"):
        SelfConsistency(ad.Anytime(dspy.ChainOfThought("question -> answer"), (8, 64)))
    with pytest.raises(AnytimeError, match=r"whole number of at least 2, or nothing can agree; got 2\.5"):
        SelfConsistency(dspy.ChainOfThought("question -> answer"), samples=2.5)
