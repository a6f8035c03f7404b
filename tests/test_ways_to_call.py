"""Budgets do not leak from one run to another, however the runs are called."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.testing import chat, prefill_of, scripted_lm, words
from tests.fakes.programs import Pipeline

MANY = [3 + (7 * n) % 89 for n in range(50)]


def solver(request) -> str:
    """Thinks 40 words; asked earlier, it says how many of them it had."""
    begun = prefill_of(request)
    return chat(reasoning=words(40), answer="sure") if begun is None else f"guess after {begun.count('think')}"


def expected(tokens: int) -> tuple[int, str]:
    """What a pipeline of two steps spends and answers."""
    return min(tokens, 80), "sure" if tokens >= 80 else f"guess after {max(0, tokens - 40)}"


def examples(n: int) -> list[dspy.Example]:
    return [dspy.Example(question=f"{i}?", answer="sure").with_inputs("question") for i in range(n)]


def run(program: dspy.Module, tokens: int) -> tuple[int, str]:
    with ad.budget(tokens, answer_tokens=20) as spent:
        answer = program(question="?").answer
    return spent.reasoning, answer


async def run_async(program: dspy.Module, tokens: int) -> tuple[int, str]:
    with ad.budget(tokens, answer_tokens=20) as spent:
        answer = (await program.acall(question="?")).answer
    return spent.reasoning, answer


def test_fifty_tasks_with_different_budgets():
    async def gather() -> list[tuple[int, str]]:
        with dspy.context(lm=scripted_lm(solver)):
            program = Pipeline(2)
            return await asyncio.gather(*(run_async(program, tokens) for tokens in MANY))

    assert asyncio.run(gather()) == [expected(tokens) for tokens in MANY]


def test_fifty_sweeps_in_one_loop():
    async def gather() -> list[ad.AnytimePrediction]:
        with dspy.context(lm=scripted_lm(solver)):
            program = Pipeline(2)
            sweeps = [ad.Anytime(program, (tokens, 2 * tokens), answer_tokens=20) for tokens in MANY]
            return await asyncio.gather(*(sweep.acall(question="?") for sweep in sweeps))

    for tokens, prediction in zip(MANY, asyncio.run(gather()), strict=True):
        found = [(c.reasoning_tokens, c.prediction.answer) for c in prediction.checkpoints]
        assert found == [expected(tokens), expected(2 * tokens)]


def test_threads_of_dspy_parallel_with_a_budget_each():
    program = Pipeline(2)
    bound = [(ad.Anytime(program, (tokens,), answer_tokens=20).at(tokens), {"question": "?"}) for tokens in MANY]
    with dspy.context(lm=scripted_lm(solver)):
        predictions = dspy.Parallel(num_threads=8, disable_progress_bar=True)(bound)
    assert [prediction.answer for prediction in predictions] == [expected(tokens)[1] for tokens in MANY]


@pytest.mark.parametrize("tokens", [30, 60, 100])
def test_dspy_evaluate_gives_every_example_its_own_budget(tokens):
    def right(example, prediction) -> float:
        return float(prediction.answer == expected(tokens)[1])

    program = ad.Anytime(Pipeline(2), (10, tokens), answer_tokens=20).at(tokens)
    with dspy.context(lm=scripted_lm(solver)):
        result = dspy.Evaluate(devset=examples(40), metric=right, num_threads=8)(program)
    assert result.score == 100


def test_one_budget_around_dspy_evaluate_is_shared():
    with dspy.context(lm=scripted_lm(solver)), ad.budget(500, answer_tokens=20) as spent:
        dspy.Evaluate(devset=examples(20), metric=lambda example, prediction: 1.0, num_threads=8)(Pipeline(1))
    assert (spent.reasoning, len(spent.calls)) == (500, 20)
    assert sorted(call.reasoning_tokens for call in spent.calls) == [0] * 7 + [20] + [40] * 12


def test_nested_budgets_in_threads_draw_on_the_outer_one():
    program = Pipeline(1)
    with dspy.context(lm=scripted_lm(solver)), ad.budget(100, answer_tokens=20) as outer:
        inner = dspy.Parallel(num_threads=8, disable_progress_bar=True)(
            [(lambda tokens: run(program, tokens), (tokens,)) for tokens in (30, 30, 30, 30, 30)]
        )
    assert sorted(reasoning for reasoning, _ in inner) == [0, 10, 30, 30, 30]
    assert outer.reasoning == 100


def test_nested_budgets_of_tasks_draw_on_the_outer_one():
    async def gather() -> tuple[list[tuple[int, str]], int]:
        with dspy.context(lm=scripted_lm(solver)), ad.budget(100, answer_tokens=20) as outer:
            inner = await asyncio.gather(*(run_async(Pipeline(1), 30) for _ in range(5)))
        return inner, outer.reasoning

    inner, reasoning = asyncio.run(gather())
    assert [spent for spent, _ in inner] == [30, 30, 30, 10, 0]
    assert reasoning == 100


def test_three_budgets_deep_the_least_counts():
    with dspy.context(lm=scripted_lm(solver)), ad.budget(35, answer_tokens=9) as first:
        with ad.budget(60, answer_tokens=9) as second, ad.budget(20, answer_tokens=9) as third:
            Pipeline(1)(question="?")
        assert (third.reasoning, second.reasoning, first.reasoning) == (20, 20, 20)
        assert (third.remaining, second.remaining, first.remaining) == (0, 15, 15)
        Pipeline(1)(question="??")
    assert (third.reasoning, second.reasoning, first.reasoning) == (20, 20, 35)


def test_nothing_of_a_budget_is_left_behind():
    lm, program = scripted_lm(solver), Pipeline(1)
    adapter = dspy.ChatAdapter()

    def fail() -> None:
        with ad.budget(10, answer_tokens=20):
            program(question="?")
            raise RuntimeError("the user's own")

    with dspy.context(lm=lm, adapter=adapter):
        with pytest.raises(RuntimeError, match="the user's own"):
            fail()
        assert dspy.settings.adapter is adapter
        assert program(question="?").answer == "sure"
    assert lm.engine.requests[-1].config.max_tokens is None


def test_plain_threads_inherit_a_budget_with_their_context():
    program = Pipeline(1)
    with dspy.context(lm=scripted_lm(solver)), ad.budget(70, answer_tokens=20) as spent, ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(copy_context().run, program, question=f"{n}?") for n in range(4)]
        assert {future.result().answer for future in futures} >= {"sure"}
    assert spent.reasoning == 70
