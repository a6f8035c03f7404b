"""The budget's adapter among DSPy's own parts."""

from __future__ import annotations

import json

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.calls.forced_answer import answer_signature
from anytime_dspy.calls.formats import CHAT_STOPS
from anytime_dspy.testing import chat, is_forced, prefill_of, prompt_of, question_of, scripted_lm, words

QUESTION = "question -> answer"


def solver(request) -> str:
    return chat(reasoning=words(40), answer="sure") if prefill_of(request) is None else "guess"


def test_a_program_sees_the_same_prompt_as_without_a_budget():
    bare, budgeted = scripted_lm(solver), scripted_lm(solver)
    program = dspy.ChainOfThought(QUESTION)
    program.predict.demos = [dspy.Example(question="a?", reasoning="so", answer="b").with_inputs("question")]
    with dspy.context(lm=bare):
        expected = program(question="?")
    with dspy.context(lm=budgeted), ad.budget(64):
        prediction = program(question="?")
    assert prediction.toDict() == expected.toDict()
    assert prompt_of(budgeted.engine.requests[0]) == prompt_of(bare.engine.requests[0])


@pytest.mark.parametrize("header", ["[[ ## reasoning ## ]]\n", "", "Well:\n[[ ## reasoning ## ]]\n", "\n\n"])
def test_a_continued_prompt_begins_with_all_that_the_server_holds(header):
    lm = scripted_lm([f"{header}{words(40)}\n\n{chat(answer='sure')}", "guess"])
    with dspy.context(lm=lm), ad.budget(16, answer_tokens=10):
        dspy.ChainOfThought(QUESTION)(question="?")
    first, forced = lm.engine.requests
    assert forced.messages[:-1] == first.messages
    assert forced.system == first.system
    held = lm.engine.responses[0].message.text
    kept = prefill_of(forced).removesuffix("\n\n[[ ## answer ## ]]\n")
    assert held.startswith(kept)
    assert kept == f"{header}{words(15 if 'Well' in header else 16)}"  # what stands before the header is paid for too


def test_options_of_the_call_reach_the_forced_answer_which_is_greedy():
    lm = scripted_lm(solver, temperature=0.3)
    with dspy.context(lm=lm), ad.budget(16, answer_tokens=10):
        dspy.ChainOfThought(QUESTION, seed=7, stop=["STOP"])(question="?")
    first, forced = (request.config for request in lm.engine.requests)
    assert (first.temperature, first.seed, first.stop) == (0.3, 7, ("STOP",))
    assert (forced.temperature, forced.seed, forced.stop) == (0.0, 7, ("STOP", *CHAT_STOPS))


@pytest.mark.parametrize("can_continue", [True, False])
def test_a_forced_answer_is_greedy_only_where_a_temperature_was_set(can_continue):
    for options, expected in (({}, None), ({"temperature": 1.0, "max_completion_tokens": 90}, 1.0)):
        lm = scripted_lm(solver, can_continue=can_continue, **options)
        with dspy.context(lm=lm), ad.budget(16, answer_tokens=10):
            dspy.ChainOfThought(QUESTION, rollout_id=3)(question="?")
        assert [request.config.temperature for request in lm.engine.requests] == [expected, expected]


def test_a_reasoning_model_keeps_its_temperature():
    lm = scripted_lm(solver, thinking=lambda _: "hm", temperature=1.0)
    with dspy.context(lm=lm), ad.budget(16, answer_tokens=10):
        dspy.ChainOfThought(QUESTION)(question="?")
    assert [request.config.temperature for request in lm.engine.requests] == [1.0, 1.0]


def test_a_forced_answer_is_cached_and_another_rollout_with_the_same_reasoning_has_the_same():
    lm = scripted_lm(solver, cache=True, temperature=1.0)
    program = dspy.ChainOfThought(QUESTION)
    for rollout, calls in ((1, 2), (1, 2), (2, 3)):
        with dspy.context(lm=lm), ad.budget(16, answer_tokens=10) as spent:
            program(question="?", config={"rollout_id": rollout})
        assert len(lm.engine.requests) == calls
        assert (spent.reasoning, spent.forced, spent.usage.calls) == (16, True, 2)


def test_the_cache_off_for_a_call_is_off_for_its_forced_answer():
    lm = scripted_lm(solver, cache=True)
    for _ in range(2):
        with dspy.context(lm=lm), ad.budget(16, answer_tokens=10):
            dspy.ChainOfThought(QUESTION, cache=False)(question="?")
    assert len(lm.engine.requests) == 4


def test_restating_uses_the_users_adapter_and_instructions():
    def reply(request):
        return json.dumps({"answer": "a"} if is_forced(request) else {"reasoning": words(40)})

    lm = scripted_lm(reply)
    signature = dspy.Signature(QUESTION, "Answer like a pirate.")
    with dspy.context(lm=lm, adapter=dspy.JSONAdapter()), ad.budget(16, answer_tokens=10):
        prediction = dspy.ChainOfThought(signature)(question="?")
    assert prediction.answer == "a"
    assert "Answer like a pirate." in prompt_of(lm.engine.requests[1])
    assert "JSON" in question_of(lm.engine.requests[1])


def test_the_derived_signature_asks_for_the_answer_alone():
    signature = dspy.ChainOfThought("question, hint -> answer: int").predict.signature
    derived = answer_signature(signature, restated=True)
    assert list(derived.input_fields) == ["question", "hint", "partial_reasoning"]
    assert list(derived.output_fields) == ["answer"]
    assert derived.output_fields["answer"].annotation is int
    assert derived.instructions.startswith(signature.instructions)
    assert list(answer_signature(signature).input_fields) == ["question", "hint"]


def test_refine_tries_again_within_one_budget():
    def reply(request):
        if "hint_" in prompt_of(request):
            return chat(reasoning=words(5), answer="good")
        if "advice" in question_of(request):
            return chat(discussion="too long", advice='{"predict": "be brief"}')
        return chat(reasoning=words(5), answer="bad")

    def reward(inputs, prediction):
        return float(prediction.answer == "good")

    lm = scripted_lm(reply)
    refine = dspy.Refine(dspy.ChainOfThought(QUESTION), N=3, reward_fn=reward, threshold=1.0)
    with dspy.context(lm=lm, trace=[]), ad.budget(100, answer_tokens=40) as spent:
        prediction = refine(question="?")
    assert prediction.answer == "good"
    assert len(spent.calls) == 3
    assert spent.reasoning == 10


def test_each_predictor_keeps_its_own_lm():
    ours, theirs = scripted_lm(solver), scripted_lm(solver)
    program = dspy.ChainOfThought(QUESTION)
    program.set_lm(theirs)
    with dspy.context(lm=ours), ad.budget(16, answer_tokens=10):
        program(question="?")
    assert (len(ours.engine.requests), len(theirs.engine.requests)) == (0, 2)


def test_what_an_lm_raises_is_not_hidden():
    def fail(request):
        raise dspy.lm15.InvalidRequestError("no such model")

    with dspy.context(lm=scripted_lm(fail)), ad.budget(16) as spent:
        with pytest.raises(Exception, match="no such model"):
            dspy.ChainOfThought(QUESTION)(question="?")
        assert spent.usage.calls == 0
        with dspy.context(lm=scripted_lm(solver)):  # its turn was given back
            assert dspy.ChainOfThought(QUESTION)(question="?").answer == "guess"
