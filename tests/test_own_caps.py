"""A cap of the user's own on a call ends that call, and leaves the budget to the others."""

from __future__ import annotations

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.testing import WordCounter, chat, continuing, prefill_of, question_of, scripted_lm, words
from tests.fakes.programs import Pipeline

ANSWER = 12


def told(request):
    """How much was thought when the answer was asked for."""
    return f"after {(prefill_of(request) or question_of(request)).count('think')}"


reply = continuing(chat(reasoning=words(90), answer="late"), told)


def test_a_call_cut_at_the_users_own_cap_does_not_use_up_the_budget():
    lm = scripted_lm(reply, max_tokens=50)
    with dspy.context(lm=lm), ad.budget(256, answer_tokens=ANSWER) as spent:
        Pipeline(2)(question="?")
    assert [call.reasoning_tokens for call in spent.calls] == [45, 45]
    assert [call.forced for call in spent.calls] == [True, True]
    assert (spent.remaining, spent.cut, spent.exhausted) == (256 - 90, True, False)


def test_a_budget_below_that_cap_is_used_up_all_the_same():
    lm = scripted_lm(reply, max_tokens=50)
    with dspy.context(lm=lm), ad.budget(20, answer_tokens=ANSWER) as spent:
        Pipeline(2)(question="?")
    assert [call.reasoning_tokens for call in spent.calls] == [20, 0]
    assert (spent.remaining, spent.exhausted) == (0, True)


def test_a_budget_whose_cut_falls_a_token_short_is_used_up_too():
    class Pairs(WordCounter):
        """Cuts after every second word."""

        def cut(self, text, tokens):
            return super().cut(text, tokens - tokens % 2)

    lm = scripted_lm(reply, max_tokens=50)
    lm.engine.counter = Pairs()
    with dspy.context(lm=lm), ad.budget(41, answer_tokens=ANSWER) as spent:
        Pipeline(1)(question="?")
    assert (spent.reasoning, spent.remaining) == (40, 0)


@pytest.mark.parametrize("can_continue", [True, False])
@pytest.mark.parametrize("budgets", [(20, 44, 45, 46), (40, 80, 256), (30, 60, 88, 90, 256)])
def test_a_sweep_and_a_stream_see_what_live_runs_see_under_that_cap(budgets, can_continue):
    def facts(reached):
        return [
            (one.prediction.answer, one.reasoning_tokens, [call.reasoning_tokens for call in one.calls])
            for one in reached
        ]

    def lm():
        return scripted_lm(reply, max_tokens=50, can_continue=can_continue)

    program = ad.Anytime(Pipeline(2), budgets, answer_tokens=ANSWER)
    with dspy.context(lm=lm()):
        swept = facts(program(question="?").checkpoints)
    with dspy.context(lm=lm()):
        streamed = facts(program.stream(question="?"))
    live = []
    for tokens in budgets:
        with dspy.context(lm=lm()), ad.budget(tokens, answer_tokens=ANSWER) as spent:
            prediction = Pipeline(2)(question="?")
        live.append((prediction.answer, spent.reasoning, [call.reasoning_tokens for call in spent.calls]))
    assert swept == live
    assert streamed == live
