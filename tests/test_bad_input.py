"""What cannot work is refused in one line, before any call is paid for."""

from __future__ import annotations

from collections.abc import Callable

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.testing import chat, scripted_lm, words
from tests.fakes.programs import Pipeline


def lookup(key: str) -> str:
    """Looks a key up."""
    return key


def answering(answer_tokens: int, program: dspy.Module, adapter: dspy.Adapter | None = None) -> Callable[[], object]:
    def run() -> None:
        with dspy.context(adapter=adapter):
            ad.Anytime(program, (8, 16), answer_tokens=answer_tokens)(question="?")

    return run


def under(limit: object, **options: object) -> Callable[[], object]:
    def run() -> None:
        with ad.budget(limit, **options):
            dspy.ChainOfThought("question -> answer")(question="?")

    return run


def thought() -> dspy.Module:
    return dspy.ChainOfThought("question -> answer")


REFUSED = {
    "budgets that fall": (lambda: ad.Anytime(thought(), (16, 8))(question="?"), ad.BudgetError),
    "a budget twice": (lambda: ad.Anytime(thought(), (8, 8))(question="?"), ad.BudgetError),
    "a budget of zero": (lambda: ad.Anytime(thought(), (0, 8))(question="?"), ad.BudgetError),
    "half a token": (lambda: ad.Anytime(thought(), (8, 16.5))(question="?"), ad.BudgetError),
    "no tokens": (under(0), ad.BudgetError),
    "a text": (under("64"), ad.BudgetError),
    "no answer tokens": (under(8, answer_tokens=0), ad.BudgetError),
    "dollars without a price": (under(ad.Budget(dollars=1.0)), ad.ModelError),
    "no predictor": (lambda: ad.Anytime(dspy.Module())(question="?"), ad.ProgramError),
    "no module": (lambda: ad.Anytime(len)(question="?"), ad.ProgramError),
    "several completions": (answering(20, dspy.Predict("question -> answer", n=2)), ad.ProgramError),
    "a deadline that is over": (lambda: list(ad.Anytime(thought()).stream(question="?", deadline=0)), ad.BudgetError),
    "an answer without room": (answering(5, thought()), ad.BudgetError),
    "several answers without room": (answering(11, dspy.Predict("question -> answer, note")), ad.BudgetError),
    "JSON without room": (answering(3, thought(), dspy.JSONAdapter()), ad.BudgetError),
    "XML without room": (answering(2, thought(), dspy.XMLAdapter()), ad.BudgetError),
    "a later step without room": (answering(11, Pipeline(2, "question -> answer, note")), ad.BudgetError),
    "an agent without room": (answering(11, dspy.ReAct("question -> answer", tools=[lookup])), ad.BudgetError),
    "a live answer without room": (under(8, answer_tokens=5), ad.BudgetError),
}


@pytest.mark.parametrize("how", sorted(REFUSED))
def test_it_is_refused_in_one_line_and_costs_no_call(how):
    run, error = REFUSED[how]
    lm = scripted_lm(lambda request: chat(reasoning=words(5), answer="so", note="x"), can_continue=False)
    with dspy.context(lm=lm), pytest.raises(error) as refusal:
        run()
    assert "\n" not in str(refusal.value)
    assert lm.engine.requests == []


class Bare(dspy.Adapter):
    """An adapter with no more than DSPy asks for."""

    def format(self, signature, demos, inputs):
        return [{"role": "user", "content": str(inputs)}]

    def parse(self, signature, completion):
        return {"reasoning": "", "answer": completion}


def test_an_adapter_that_shows_no_answers_is_taken_as_it_is():
    with dspy.context(lm=scripted_lm(lambda request: "so"), adapter=Bare()):
        assert ad.Anytime(thought(), (8, 16), answer_tokens=1)(question="?").answer == "so"


@pytest.mark.parametrize(
    ("answer_tokens", "signature", "can_continue", "adapter"),
    [
        (6, "question -> answer", False, None),
        (1, "question -> answer", True, None),
        (12, "question -> answer, note", False, None),
        (7, "question -> answer, note", True, None),
        (4, "question -> answer", True, dspy.JSONAdapter()),
        (3, "question -> answer", True, dspy.XMLAdapter()),
    ],
)
def test_the_least_room_is_enough_and_one_token_less_is_not(answer_tokens, signature, can_continue, adapter):
    lm = scripted_lm(lambda request: "x", can_continue=can_continue)
    program = dspy.ChainOfThought(signature)
    with dspy.context(lm=lm, adapter=adapter):
        ad.Anytime(program, (8,), answer_tokens=answer_tokens)(question="?")
        paid = len(lm.engine.requests)
        with pytest.raises(
            ad.BudgetError, match=f"answer_tokens={answer_tokens} or more" if answer_tokens > 1 else "0"
        ):
            ad.Anytime(program, (8,), answer_tokens=answer_tokens - 1)(question="?")
    assert len(lm.engine.requests) == paid > 0
