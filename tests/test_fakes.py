"""The fakes themselves: what they note, and how they tell one prompt from another."""

from __future__ import annotations

from contextlib import suppress

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.optimizers.traces.styles import STYLES
from anytime_dspy.testing import asked_for, chat, inputs_of, is_forced, scripted_lm, words
from tests.fakes.http_server import ChatServer
from tests.fakes.prompts import style_of
from tests.fakes.unscripted import unscripted


def asked(adapter: dspy.Adapter, signature: str = "question, hint -> reasoning, answer"):
    lm = scripted_lm(lambda request: "")
    with dspy.context(lm=lm, adapter=adapter), suppress(Exception):
        dspy.Predict(signature)(question="two\nlines", hint="one")
    return lm.engine.requests[0]


def noted() -> str:
    with pytest.raises(AssertionError) as refusal:
        unscripted.refuse()
    unscripted.clear()
    return str(refusal.value)


@pytest.mark.parametrize("reply", [[], lambda request: {}["no such key"], lambda request: str(1 // 0)])
def test_what_a_fake_was_not_scripted_for_is_noted_even_where_the_error_is_swallowed(reply):
    with dspy.context(lm=scripted_lm(reply, num_retries=0)), suppress(Exception):
        dspy.Predict("question -> answer")(question="what?")
    assert "what?" in noted()


def test_a_fault_that_a_test_plants_is_scripted():
    def broken(request):
        raise dspy.lm15.ServerError("overloaded")

    with dspy.context(lm=scripted_lm(broken, num_retries=0)), suppress(Exception):
        dspy.Predict("question -> answer")(question="what?")
    unscripted.refuse()


def test_a_server_notes_it_too(litellm_loop):
    with ChatServer(lambda received: {}["no such key"]) as server, suppress(Exception):
        lm = dspy.LM("openai/gpt-4o", api_base=server.url, api_key="none", cache=False, num_retries=0, timeout=1.0)
        lm("what?")
    assert "what?" in noted()


@pytest.mark.parametrize(
    "adapter", [dspy.ChatAdapter(), dspy.JSONAdapter(), dspy.XMLAdapter()], ids=["chat", "json", "xml"]
)
def test_the_fields_that_are_asked_for_are_read_in_every_format(adapter):
    assert asked_for(asked(adapter)) == ("reasoning", "answer")
    assert asked_for(asked(adapter, "question, hint -> better")) == ("better",)


def test_the_inputs_are_read_with_all_their_lines():
    assert inputs_of(asked(dspy.ChatAdapter())) == {"question": "two\nlines", "hint": "one"}


@pytest.mark.parametrize("can_continue", [True, False])
def test_a_forced_answer_is_told_from_a_whole_one(can_continue):
    lm = scripted_lm(
        lambda request: chat(answer="x") if is_forced(request) else chat(reasoning=words(9), answer="y"),
        can_continue=can_continue,
    )
    with dspy.context(lm=lm), ad.budget(4, answer_tokens=9):
        dspy.ChainOfThought("question -> answer")(question="?")
    assert [is_forced(request) for request in lm.engine.requests] == [False, True]


def test_a_style_is_known_by_its_own_sentence_whatever_the_budgets_are():
    assert [style_of(style.render("Solve it.", (16, 64, 256))) for style in STYLES] == [style.name for style in STYLES]


def test_a_request_with_an_image_is_read_like_any_other():
    lm = scripted_lm(lambda request: "guess" if is_forced(request) else chat(reasoning="r", y="42"))
    with dspy.context(lm=lm):
        image = dspy.Image("data:image/png;base64,iVBORw0KGgo=")
        assert dspy.ChainOfThought("image: dspy.Image, q -> y")(image=image, q="1").y == "42"
    (request,) = lm.engine.requests
    assert asked_for(request) == ("reasoning", "y")
    assert inputs_of(request)["q"] == "1"
