"""Streams: an answer at each budget as it is reached, and rules that end them."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anytime_dspy as ad
from anytime_dspy.runtime.allowance import SEGMENT
from anytime_dspy.testing import chat, continuing, prefill_of, question_of, scripted_lm, words
from tests.fakes.clock import Clock
from tests.fakes.http_server import ChatServer, Received, Reply
from tests.fakes.programs import Pipeline

BUDGETS = (8, 16, 32, 64)
ANSWER = 20


def thinker(length: int = 40, guesses: int = 1):
    """Thinks `length` words; asked earlier, it says how many of them it had, `guesses` of them making no difference."""

    def guess(request) -> str:
        had = ((prefill_of(request) or "") + question_of(request)).count("think")
        return f"guess after {had // guesses * guesses}"

    return continuing(chat(reasoning=words(length), answer="sure"), guess)


def anytime(program: dspy.Module | None = None, budgets=BUDGETS, **options) -> ad.Anytime:
    return ad.Anytime(program or dspy.ChainOfThought("question -> answer"), budgets, answer_tokens=ANSWER, **options)


def answers(checkpoints) -> list[str]:
    return [checkpoint.prediction.answer for checkpoint in checkpoints]


def content(checkpoint: ad.Checkpoint) -> ad.Checkpoint:
    """All but what it cost: a stream asks in several calls for what a sweep asks for in one."""
    fields = checkpoint.prediction.toDict()
    return dataclasses.replace(checkpoint, usage=ad.Usage(), prediction=fields)


@given(
    budgets=st.lists(st.integers(1, 90), min_size=1, max_size=5, unique=True).map(sorted),
    length=st.integers(0, 60),
    can_continue=st.booleans(),
    predictors=st.integers(1, 3),
)
@settings(max_examples=150)
def test_a_stream_gives_what_a_call_gives(budgets, length, can_continue, predictors):
    whole = scripted_lm(thinker(length), can_continue=can_continue)
    piecewise = scripted_lm(thinker(length), can_continue=can_continue)
    program = anytime(Pipeline(predictors), budgets)
    with dspy.context(lm=whole):
        expected = program(question="?").checkpoints
    with dspy.context(lm=piecewise):
        streamed = list(program.stream(question="?"))
    assert [content(checkpoint) for checkpoint in streamed] == [content(checkpoint) for checkpoint in expected]


def test_going_on_pays_only_the_tokens_beyond():
    whole, piecewise = scripted_lm(thinker()), scripted_lm(thinker())
    with dspy.context(lm=whole):
        anytime()(question="?")
    with dspy.context(lm=piecewise):
        list(anytime().stream(question="?"))
    assert piecewise.engine.written == whole.engine.written
    caps = [request.config.max_tokens for request in piecewise.engine.requests]
    assert caps == [8 + ANSWER, ANSWER, 8, ANSWER, 16, ANSWER, 32]  # each time the message, then its forced answer


def test_where_a_message_cannot_go_on_it_is_asked_for_anew():
    lm = scripted_lm(thinker(1000), can_continue=False)
    with dspy.context(lm=lm):
        assert answers(anytime().stream(question="?")) == [f"guess after {tokens}" for tokens in BUDGETS]
    caps = [request.config.max_tokens for request in lm.engine.requests]
    assert caps[::2] == [tokens + ANSWER for tokens in BUDGETS]
    assert sum(caps[::2]) - 4 * ANSWER <= 2 * BUDGETS[-1]


def test_vllm_goes_on_with_its_message():
    text = chat(reasoning=" ".join(["so"] * 200), answer="8")

    def script(received: Received) -> Reply:
        begun = received.prefill or ""
        return Reply(text[len(begun) :] if text.startswith(begun) else "7")

    with ChatServer(script) as server:
        lm = dspy.LM("hosted_vllm/x", api_base=server.url, api_key="none", engine="lm15", cache=False)
        with dspy.context(lm=lm):
            checkpoints = list(anytime().stream(question="?"))
    assert [checkpoint.reasoning_tokens for checkpoint in checkpoints] == list(BUDGETS)
    assert [received.body["max_tokens"] for received in server.received][::2] == [8 + ANSWER, 8, 16, 32]
    assert all(received.body["continue_final_message"] for received in server.received[1:])


def test_a_checkpoint_comes_before_the_next_one_is_paid_for():
    lm = scripted_lm(thinker())
    with dspy.context(lm=lm):
        stream = anytime().stream(question="?")
    assert lm.engine.requests == []
    seen = [len(lm.engine.requests) for _ in stream]
    assert seen == [2, 4, 6, 7]


@pytest.mark.parametrize("leave", ["break", "close", "exhaust"])
def test_a_stream_can_be_left_and_taken_up_without_paying_twice(leave):
    lm, program = scripted_lm(thinker(), cache=True), anytime()
    with dspy.context(lm=lm):
        stream = program.stream(question="?")
        for checkpoint in stream:
            if checkpoint.budget == 16 and leave != "exhaust":
                break
        if leave == "close":
            stream.close()
        paid = len(lm.engine.requests)
        rest = list(stream)
        assert answers(rest) == (["guess after 32", "sure"] if leave == "break" else [])
        again = list(program.stream(question="?"))
    assert answers(again) == ["guess after 8", "guess after 16", "guess after 32", "sure"]
    assert len(lm.engine.requests) == 7
    assert paid == (7 if leave == "exhaust" else 4)


def test_a_stream_keeps_the_settings_of_where_it_was_made():
    with dspy.context(lm=scripted_lm(thinker())):
        stream = anytime().stream(question="?")
    with dspy.context(lm=None), ad.budget(1):
        assert answers(stream) == ["guess after 8", "guess after 16", "guess after 32", "sure"]


def test_streams_side_by_side_do_not_mix():
    with dspy.context(lm=scripted_lm(thinker())):
        streams = [anytime(budgets=(n, 2 * n, 3 * n)).stream(question=f"{n}?") for n in (5, 7, 11)]
        rounds = list(zip(*streams, strict=True))
    assert [answers(found) for found in rounds] == [[f"guess after {k * n}" for n in (5, 7, 11)] for k in (1, 2, 3)]


def test_async_streams_give_the_same():
    async def collect() -> list[ad.Checkpoint]:
        with dspy.context(lm=scripted_lm(thinker())):
            stream = anytime(Pipeline(2)).astream(question="?")
        return [checkpoint async for checkpoint in stream]

    with dspy.context(lm=scripted_lm(thinker())):
        expected = list(anytime(Pipeline(2)).stream(question="?"))
    assert [content(one) for one in asyncio.run(collect())] == [content(one) for one in expected]


@pytest.mark.parametrize("can_continue", [True, False])
@pytest.mark.parametrize("tokens", [5, 20, 64, 500])
def test_a_budget_around_a_stream_pays_for_what_was_written(tokens, can_continue):
    lm = scripted_lm(thinker(1000), can_continue=can_continue)
    with dspy.context(lm=lm), ad.budget(tokens, answer_tokens=ANSWER) as outer:
        checkpoints = list(anytime().stream(question="?"))
    assert len(checkpoints) == 4
    assert outer.reasoning <= tokens
    assert outer.usage.calls == len(lm.engine.requests)
    assert outer.usage.reasoning_tokens + outer.usage.answer_tokens == lm.engine.written
    assert [checkpoint.reasoning_tokens for checkpoint in checkpoints] == sorted(
        checkpoint.reasoning_tokens for checkpoint in checkpoints
    )


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock(monkeypatch)


def test_after_the_deadline_nothing_is_begun(clock):
    lm = clock.lm(thinker(100_000), speed=10)
    with dspy.context(lm=lm):
        checkpoints = list(anytime(budgets=(10, 20, 40, 80, 160)).stream(question="?", deadline=5))
    assert [checkpoint.budget for checkpoint in checkpoints] == [10, 20, 40]
    assert clock.now < 5 + (SEGMENT + 2 * ANSWER) / 10
    assert [checkpoint.reasoning_tokens for checkpoint in checkpoints][:2] == [10, 20]
    assert all(checkpoint.answered for checkpoint in checkpoints)


@pytest.mark.parametrize("can_continue", [True, False])
def test_the_first_checkpoint_is_always_given(clock, can_continue):
    lm = clock.lm(thinker(100_000), speed=10, can_continue=can_continue)
    with dspy.context(lm=lm):
        [checkpoint] = anytime().stream(question="?", deadline=0.001)
    assert checkpoint.answered


def test_time_spent_outside_counts(clock):
    with dspy.context(lm=clock.lm(thinker(), speed=1000)):
        stream = anytime().stream(question="?", deadline=5)
        next(stream)
        clock.now += 5
        assert list(stream) == []


@pytest.mark.parametrize("deadline", [0, -1, "soon"])
def test_a_deadline_that_cannot_be_kept_is_refused_at_once(deadline):
    with pytest.raises(ad.BudgetError, match="seconds"):
        anytime().stream(question="?", deadline=deadline)


def test_a_stream_stops_once_its_answer_stays_the_same():
    lm = scripted_lm(thinker(1000, guesses=20))
    program = anytime(budgets=(10, 15, 25, 35, 50, 70))
    with dspy.context(lm=lm):
        patient = list(program.stream(question="?", stop=ad.Converged(patience=3)))
        quick = list(program.stream(question="?", stop=ad.Converged()))
    assert answers(quick) == ["guess after 0"] * 2
    assert len(patient) == 6
    assert answers(patient)[1:4] == ["guess after 0", "guess after 20", "guess after 20"]


@pytest.mark.parametrize("mode", ["trace", "contract"])
def test_a_call_that_stops_carries_its_answer_and_pays_no_more(mode):
    lm = scripted_lm(thinker(1000, guesses=20))
    program = anytime(budgets=(10, 25, 35, 50, 70), stop=ad.Converged(), mode=mode)
    with dspy.context(lm=lm):
        prediction = program(question="?")
    assert answers(prediction.checkpoints) == ["guess after 0", *["guess after 20"] * 4]
    assert [checkpoint.budget for checkpoint in prediction.checkpoints] == [10, 25, 35, 50, 70]
    assert [checkpoint.reasoning_tokens for checkpoint in prediction.checkpoints] == [10, 25, 35, 35, 35]
    assert prediction.answer == "guess after 20"
    asked = [request.config.max_tokens for request in lm.engine.requests if request.config.max_tokens != ANSWER]
    assert asked == ([10 + ANSWER, 15, 10] if mode == "trace" else [30, 45, 55])


def test_a_call_that_stops_is_the_same_awaited():
    async def run() -> ad.AnytimePrediction:
        with dspy.context(lm=scripted_lm(thinker(1000, guesses=20))):
            return await anytime(stop=ad.Converged()).acall(question="?")

    with dspy.context(lm=scripted_lm(thinker(1000, guesses=20)), trace=[]):
        expected = anytime(stop=ad.Converged())(question="?")
        assert len(dspy.settings.trace) == 1
    assert [content(one) for one in asyncio.run(run()).checkpoints] == [content(one) for one in expected.checkpoints]


def test_an_answer_that_never_comes_is_not_a_convergence():
    def reply(request) -> str:
        return "none" if prefill_of(request) is not None else chat(reasoning=words(100), answer="3")

    with dspy.context(lm=scripted_lm(reply)):
        program = anytime(dspy.ChainOfThought("question -> answer: int"), stop=ad.Converged())
        assert [checkpoint.answered for checkpoint in program(question="?").checkpoints] == [False] * 4


@pytest.mark.parametrize(
    ("found", "ends"), [("aa", 2), ("ab", None), ("abb", 3), ("abab", None), ("", None), ("a", None), ("??aa", 4)]
)
def test_converged_looks_at_the_last_answers(found, ends):
    texts = [None if text == "?" else text for text in found]
    met = [n for n in range(1, len(texts) + 1) if ad.Converged().is_met(texts[:n])]
    assert (met[0] if met else None) == ends


@pytest.mark.parametrize("patience", [1, 0, -2, 2.0, "2", True, None])
def test_a_patience_that_compares_nothing_is_refused(patience):
    with pytest.raises(ad.BudgetError, match="patience"):
        ad.Converged(patience=patience)


def test_a_stop_that_is_no_rule_is_refused():
    with pytest.raises(ad.BudgetError, match="Converged"):
        anytime(stop=2)
    with pytest.raises(ad.BudgetError, match="Converged"):
        anytime().stream(question="?", stop="soon")


def test_budgets_of_a_stream_come_in_order():
    with dspy.context(lm=scripted_lm(thinker())):
        budgets = [checkpoint.budget for checkpoint in itertools.islice(anytime().stream(question="?"), 3)]
    assert budgets == [8, 16, 32]
