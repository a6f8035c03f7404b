"""Budgets of seconds and dollars: what they promise, and what overruns them."""

from __future__ import annotations

import asyncio
from unittest.mock import patch

import dspy
import litellm
import pytest
from hypothesis import given
from hypothesis import strategies as st

import anytime_dspy as ad
from anytime_dspy.runtime.allowance import ASSUMED_SPEED, SEGMENT
from anytime_dspy.runtime.prices import price_of
from anytime_dspy.testing import chat, continuing, prefill_of, question_of, scripted_lm, words
from tests.fakes.clock import Clock
from tests.fakes.http_server import ChatServer
from tests.fakes.http_server import Reply as Served
from tests.fakes.programs import Pipeline

ANSWER = 20


def thinker(length: int):
    """Thinks `length` words; asked earlier, it says how many of them it had."""
    return continuing(
        chat(reasoning=words(length), answer="sure"),
        lambda request: f"guess after {((prefill_of(request) or '') + question_of(request)).count('think')}",
    )


def ask(lm: dspy.LM, limit: ad.Budget | int, program: dspy.Module | None = None):
    with dspy.context(lm=lm), ad.budget(limit, answer_tokens=ANSWER) as spent:
        prediction = (program or dspy.ChainOfThought("question -> answer"))(question="?")
    return prediction, spent


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.parametrize("speed", [5, 40, 1000])
def test_a_deadline_holds_within_one_piece_and_the_answer(clock, speed):
    prediction, spent = ask(clock.lm(thinker(100_000), speed=speed), ad.Budget(seconds=10))
    assert 10 * speed * 0.5 < spent.reasoning < 10 * speed + SEGMENT
    assert clock.now < 10 + (SEGMENT + ANSWER) / speed
    assert prediction.answer == f"guess after {spent.reasoning}"
    assert spent.remaining == 0
    assert spent.forced


def test_a_message_written_piece_by_piece_is_the_message(clock):
    lm = clock.lm(thinker(300), speed=100)
    prediction, spent = ask(lm, ad.Budget(seconds=60))
    assert (prediction.answer, spent.reasoning, spent.forced) == ("sure", 300, False)
    assert prediction.reasoning == words(300)
    assert spent.remaining is None
    assert spent.usage.calls == len(lm.engine.requests) > 1
    assert spent.usage.reasoning_tokens + spent.usage.answer_tokens == lm.engine.written
    assert spent.usage.prompt_tokens == sum(response.usage.input_tokens for response in lm.engine.responses)


def test_async_is_written_piece_by_piece_too(clock):
    lm = clock.lm(thinker(100_000), speed=50)

    async def run() -> int:
        with dspy.context(lm=lm), ad.budget(ad.Budget(seconds=3), answer_tokens=ANSWER) as spent:
            await dspy.ChainOfThought("question -> answer").acall(question="?")
        return spent.reasoning

    assert 75 < asyncio.run(run()) < 150 + SEGMENT


def test_tokens_and_seconds_bind_together(clock):
    _, spent = ask(clock.lm(thinker(1000), speed=10), ad.Budget(tokens=70, seconds=1000))
    assert spent.reasoning == 70
    prediction, spent = ask(clock.lm(thinker(1000), speed=10), ad.Budget(tokens=70, seconds=4))
    assert spent.reasoning < 4 * 10 + SEGMENT
    assert prediction.answer.startswith("guess")


def test_where_a_message_cannot_go_on_its_length_is_fitted_to_the_time(clock):
    lm = clock.lm(thinker(100_000), speed=200, can_continue=False)
    _, spent = ask(lm, ad.Budget(seconds=2), Pipeline(2))
    caps = [request.config.max_tokens for request in lm.engine.requests]
    assert caps[0] == 2 * ASSUMED_SPEED + ANSWER
    assert spent.remaining == 0  # a call was cut off: whatever time is left, it is not reasoned on
    assert caps[1:] == [ANSWER, ANSWER]


def test_the_measured_speed_fits_the_next_call(clock):
    lm = clock.lm(thinker(10), speed=10, can_continue=False)
    ask(lm, ad.Budget(seconds=4), Pipeline(2))
    wrote = lm.engine.responses[0].usage.output_tokens
    assert lm.engine.requests[1].config.max_tokens == 4 * 10 - wrote + ANSWER


def test_after_the_deadline_only_answers_are_asked_for(clock):
    lm = clock.lm(thinker(30), speed=10)
    _, spent = ask(lm, ad.Budget(seconds=4.5), Pipeline(3))
    assert [call.forced for call in spent.calls] == [False, True, True]
    assert [call.reasoning_tokens for call in spent.calls][2] == 0


def test_predictors_without_reasoning_are_not_cut_to_pieces(clock):
    lm = clock.lm(lambda request: chat(answer="yes"), speed=10)
    prediction, _ = ask(lm, ad.Budget(seconds=60), dspy.Predict("question -> answer"))
    assert prediction.answer == "yes"
    assert len(lm.engine.requests) == 1


def test_an_inner_budget_ends_with_the_outer_deadline(clock):
    lm = clock.lm(thinker(100_000), speed=100)
    with dspy.context(lm=lm), ad.budget(ad.Budget(seconds=1), answer_tokens=ANSWER) as outer:
        prediction = ad.Anytime(dspy.ChainOfThought("question -> answer"), (32, 1000), answer_tokens=ANSWER)(
            question="?"
        )
    small, large = prediction.checkpoints
    assert (small.reasoning_tokens, small.prediction.answer) == (32, "guess after 32")
    assert 50 < large.reasoning_tokens < 100 + SEGMENT
    assert outer.usage.calls == len(lm.engine.requests)
    assert outer.usage.reasoning_tokens + outer.usage.answer_tokens == lm.engine.written


def priced(lm: dspy.LM, prompt: float, output: float):
    return patch.dict(litellm.model_cost, {lm.model: {"input_cost_per_token": prompt, "output_cost_per_token": output}})


@given(
    dollars=st.floats(0.01, 20),
    prompt=st.sampled_from([0.0, 0.001, 0.01]),
    output=st.sampled_from([0.001, 0.01, 0.1]),
    length=st.integers(0, 120),
    can_continue=st.booleans(),
)
def test_dollars_hold_wherever_reasoning_was_bought(dollars, prompt, output, length, can_continue):
    lm = scripted_lm(thinker(length), can_continue=can_continue)
    with priced(lm, prompt, output):
        prediction, spent = ask(lm, ad.Budget(dollars=dollars))
    usages = [response.usage for response in lm.engine.responses]
    billed = sum(prompt * usage.input_tokens + output * usage.output_tokens for usage in usages)
    assert spent.usage.dollars == pytest.approx(billed)
    assert prediction.answer is not None
    if spent.reasoning:
        assert billed <= dollars * (1 + 1e-9)
    elif length:
        assert len(lm.engine.requests) == 1  # the answer alone, whatever it costs


def test_more_dollars_buy_more_reasoning():
    spendings = []
    for dollars in (0.9, 1.2, 1.6, 100.0):
        lm = scripted_lm(thinker(120))
        with priced(lm, 0.001, 0.01):
            spendings.append(ask(lm, ad.Budget(dollars=dollars))[1])
    reasoned = [spent.reasoning for spent in spendings]
    assert reasoned == sorted(reasoned)
    assert 0 < reasoned[0] < reasoned[-1] == 120
    assert spendings[0].remaining == 0


@pytest.mark.usefixtures("litellm_loop")
@pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning")  # pydantic says this of a type of litellm's
def test_the_price_that_a_provider_names_counts():
    """Here it is less than tokens times prices, since half of each prompt comes from the provider's cache."""
    with ChatServer(lambda received: Served(chat(reasoning=words(10), answer="sure"), cached=40)) as server:
        options = {"engine": "litellm", "api_base": server.url, "api_key": "none", "cache": False}
        lm = dspy.LM("openai/gpt-4o", **options)
        _, spent = ask(lm, ad.Budget(dollars=50.0), Pipeline(2))
        lm.close()
    price, usage = price_of("openai/gpt-4o"), spent.usage
    assert usage.calls == len(lm.history) == 2
    assert usage.dollars == pytest.approx(sum(call["cost"] for call in lm.history))
    assert 0 < usage.dollars < price.prompt * usage.prompt_tokens + price.output * server.billed


def test_an_lm_without_a_price_is_refused_before_it_is_called():
    lm = scripted_lm(thinker(10))
    with pytest.raises(ad.ModelError, match=r"register_model$"):
        ask(lm, ad.Budget(dollars=1.0))
    with priced(lm, 0.0, 0.0), pytest.raises(ad.ModelError):
        ask(lm, ad.Budget(tokens=10, dollars=1.0))
    assert lm.engine.requests == []


@pytest.mark.parametrize(
    "kinds",
    [
        {},
        {"tokens": 0},
        {"tokens": 2.5},
        {"seconds": 0},
        {"seconds": -1.0},
        {"seconds": "2"},
        {"seconds": float("inf")},
        {"seconds": float("nan")},
        {"dollars": 0.0},
        {"dollars": True},
        {"tokens": 5, "dollars": -1},
    ],
    ids=repr,
)
def test_budgets_that_cannot_be_used_are_refused(kinds):
    with pytest.raises(ad.BudgetError) as refusal:
        ad.Budget(**kinds)
    assert "\n" not in str(refusal.value)
