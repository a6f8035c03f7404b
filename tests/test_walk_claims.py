"""What a run taken from budget to budget promises in so many words, each with an example that fails otherwise."""

from __future__ import annotations

import asyncio

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.testing import chat, continuing, inputs_of, prefill_of, scripted_lm, words
from tests.fakes.clock import Clock
from tests.fakes.programs import Pipeline

ANSWER = 20


def thinker(length: int):
    """Thinks so many words; asked earlier it says "early" within four words, and "late" after that."""

    def guess(request) -> str:
        told = prefill_of(request) or inputs_of(request).get("partial_reasoning", "")
        return "late" if told.count("think") > 4 else "early"

    return continuing(chat(reasoning=words(length), answer="sure"), guess)


def anytime(program: dspy.Module | None = None, budgets=(4, 8, 16, 32, 64), **options: object) -> ad.Anytime:
    return ad.Anytime(program or Pipeline(1), budgets, answer_tokens=ANSWER, **options)


def run(lm: dspy.LM, module: ad.Anytime) -> tuple[ad.Checkpoint, ...]:
    with dspy.context(lm=lm):
        return module(question="?").checkpoints


def steps(lm: dspy.LM, module: ad.Anytime, way: str) -> list[ad.Checkpoint]:
    async def taken() -> list[ad.Checkpoint]:
        return [checkpoint async for checkpoint in module.astream(question="?")]

    with dspy.context(lm=lm):
        return list(module.stream(question="?")) if way == "stream" else asyncio.run(taken())


@pytest.mark.parametrize("can_continue", [True, False])
def test_where_a_run_was_stopped_the_last_answer_and_not_the_first_stands_for_larger_budgets(can_continue):
    lm = scripted_lm(thinker(100), can_continue=can_continue)
    points = run(lm, anytime(stop=ad.Converged(patience=2)))
    assert [point.budget for point in points] == [4, 8, 16, 32, 64]
    assert [point.prediction.answer for point in points] == ["early", "late", "late", "late", "late"]
    assert [point.reasoning_tokens for point in points] == [4, 8, 16, 16, 16]
    paid = lm.engine.written
    again = run(scripted_lm(thinker(100), can_continue=can_continue), anytime(budgets=(4, 8, 16)))
    assert [point.reasoning_tokens for point in again] == [4, 8, 16]
    assert paid <= 2 * (4 + 8 + 16) + 6 * ANSWER


def test_a_contract_is_run_anew_at_every_budget_even_where_it_ended_early():
    contract, trace = scripted_lm(thinker(3)), scripted_lm(thinker(3))
    points = run(contract, anytime(mode="contract"))
    assert [point.prediction.answer for point in points] == ["sure"] * 5
    assert len(contract.engine.requests) == 5
    assert [request.config.max_tokens for request in contract.engine.requests] == [84, 52, 36, 28, 24]
    run(trace, anytime())
    assert len(trace.engine.requests) == 1


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_run_that_ended_within_a_budget_is_not_gone_on_with(way):
    lm = scripted_lm(thinker(10))
    points = steps(lm, anytime(), way)
    assert [point.budget for point in points] == [4, 8, 16, 32, 64]
    assert [point.prediction.answer for point in points] == ["early", "late", "sure", "sure", "sure"]
    assert [point.reasoning_tokens for point in points] == [4, 8, 10, 10, 10]
    assert [point.cut for point in points] == [True, True, False, False, False]
    assert len({id(point.prediction) for point in points[2:]}) == 1


@pytest.mark.parametrize("way", ["stream", "astream", "call"])
def test_a_run_that_used_a_budget_to_its_last_token_goes_on_at_the_next(way):
    """The first step thinks 16 words: at 16 the second has nothing left to think with, at 64 it has."""
    lm = scripted_lm(thinker(16))
    module = anytime(Pipeline(2), (16, 64))
    full, more = run(lm, module) if way == "call" else steps(lm, module, way)
    assert (full.reasoning_tokens, more.reasoning_tokens) == (16, 32)
    assert [call.reasoning_tokens for call in full.calls] == [16, 0]
    assert [call.reasoning_tokens for call in more.calls] == [16, 16]
    assert (full.prediction.answer, more.prediction.answer) == ("early", "sure")


def test_a_run_that_ended_is_replayed_only_at_budgets_that_it_does_not_fit():
    lm = scripted_lm(thinker(10))
    points = run(lm, anytime(budgets=(9, 10, 11)))
    assert [(point.reasoning_tokens, point.prediction.answer) for point in points] == [
        (9, "late"),
        (10, "sure"),
        (10, "sure"),
    ]
    assert len(lm.engine.requests) == 2  # the run, and the answer that was forced after nine words


def test_an_optimiser_sees_one_run_and_that_is_the_largest():
    for module in (anytime(Pipeline(2)), anytime(Pipeline(2), stop=ad.Converged(patience=2))):
        with dspy.context(lm=scripted_lm(thinker(10)), trace=[]):
            points = module(question="?").checkpoints
            seen = list(dspy.settings.trace)
        reached = next(point for point in points if point.calls == points[-1].calls)
        assert [output.answer for _, _, output in seen] == [call.outputs["answer"] for call in reached.calls]
        assert len(seen) == 2


def test_a_checkpoint_adds_up_its_calls():
    lm = scripted_lm(thinker(10))
    for point in run(lm, anytime(Pipeline(2))):
        assert point.reasoning_tokens == sum(call.reasoning_tokens for call in point.calls)
        assert point.answer_tokens == sum(call.answer_tokens for call in point.calls) > 0
        assert point.forced == any(call.forced for call in point.calls)
        assert point.answered


def test_a_deadline_ends_a_stream_after_the_first_checkpoint_and_begins_no_other(monkeypatch):
    clock = Clock(monkeypatch)
    with dspy.context(lm=clock.lm(thinker(1000), speed=10)):
        given = [len(list(anytime().stream(question="?", deadline=seconds))) for seconds in (0.1, 4.5, 1000)]
    assert given[0] == 1
    assert 1 < given[1] < given[2] == 5


def test_a_program_that_ends_in_an_empty_answer_has_not_answered():
    points = run(scripted_lm(lambda request: chat(reasoning="so", answer="")), anytime())
    assert not any(point.answered for point in points)


@pytest.mark.parametrize("outer", [3, 10, 40])
def test_a_budget_around_a_stream_is_spent_once_and_holds(outer):
    lm = scripted_lm(thinker(100))
    with dspy.context(lm=lm), ad.budget(outer, answer_tokens=ANSWER) as around:
        points = list(anytime().stream(question="?"))
    assert [point.reasoning_tokens for point in points] == [min(budget, outer) for budget in (4, 8, 16, 32, 64)]
    assert around.reasoning == outer
    assert around.remaining == 0
    with dspy.context(lm=lm), ad.budget(outer, answer_tokens=ANSWER):
        called = anytime()(question="?").checkpoints
    assert [point.reasoning_tokens for point in called] == [min(budget, outer) for budget in (4, 8, 16, 32, 64)]
