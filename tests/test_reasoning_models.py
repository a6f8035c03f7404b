"""Models that think before they answer: their thinking is the trace, or a sweep of it is refused."""

from __future__ import annotations

import time

import dspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import anytime_dspy as ad
from anytime_dspy.errors import ModelError
from anytime_dspy.measure import sweep
from anytime_dspy.testing import chat, inputs_of, is_forced, prefill_of, prompt_of, scripted_lm, words

QUESTION = "question -> answer"
SUM = "sum"


def reply(request) -> str:
    return chat(answer="guess") if is_forced(request) else chat(reasoning=words(6, SUM), answer="sure")


def thinks(request) -> str:
    return "" if is_forced(request) else words(40, "hm")


def inline(request) -> str:
    if prefill_of(request) is not None:
        return "guess"
    return chat(answer="guess") if is_forced(request) else f"<think>\n{words(40, 'hm')}\n</think>\n\n{reply(request)}"


def swept(lm, budgets=(8, 44, 90), program=None):
    anytime = ad.Anytime(program or dspy.ChainOfThought(QUESTION), budgets=budgets, answer_tokens=24)
    with dspy.context(lm=lm):
        return anytime(question="?").checkpoints


def test_thinking_that_is_shown_is_the_trace():
    lm = scripted_lm(reply, thinking=thinks)
    few, more, all_of_it = swept(lm)
    assert [c.reasoning_tokens for c in (few, more, all_of_it)] == [8, 44, 46]
    assert [c.prediction.answer for c in (few, more, all_of_it)] == ["guess", "guess", "sure"]
    assert few.calls[0].reasoning == words(8, "hm")
    assert more.calls[0].reasoning == f"{words(40, 'hm')}\n\n{words(4, SUM)}"
    assert all_of_it.calls[0].reasoning == f"{words(40, 'hm')}\n\n{words(6, SUM)}"
    assert all_of_it.prediction.reasoning == words(6, SUM)


def test_an_answer_forced_from_shown_thinking_is_told_of_it_as_text_and_to_think_little():
    lm = scripted_lm(reply, thinking=thinks)
    swept(lm)
    first, *forced = lm.engine.requests
    assert first.config.reasoning is None
    for request, trace in zip(forced, (f"{words(40, 'hm')}\n\n{words(4, SUM)}", words(8, "hm")), strict=True):
        assert prefill_of(request) is None  # thinking has no place in a message that is continued
        assert trace in prompt_of(request)
        assert request.config.reasoning.effort == "low"


@pytest.mark.parametrize("can_continue", [True, False])
def test_thinking_inside_the_text_is_the_trace(can_continue):
    lm = scripted_lm(inline, can_continue=can_continue)
    few, more, all_of_it = swept(lm)
    assert [c.reasoning_tokens for c in (few, more, all_of_it)] == [8, 44, 46]
    assert [c.prediction.answer for c in (few, more, all_of_it)] == ["guess", "guess", "sure"]
    assert few.calls[0].reasoning == words(8, "hm")
    assert more.calls[0].reasoning == f"{words(40, 'hm')}\n\n{words(4, SUM)}"
    assert all_of_it.prediction.reasoning == words(6, SUM)


def test_thinking_inside_the_text_is_closed_where_the_message_is_continued():
    lm = scripted_lm(inline)
    swept(lm)
    _, more, few = map(prefill_of, lm.engine.requests)
    answer = "\n\n[[ ## answer ## ]]\n"
    assert few == f"<think>\n{words(8, 'hm')}\n</think>{answer}"
    assert more == f"<think>\n{words(40, 'hm')}\n</think>\n\n[[ ## reasoning ## ]]\n{words(4, SUM)}{answer}"


def test_thinking_may_begin_in_the_prompt():
    lm = scripted_lm(lambda request: inline(request).removeprefix("<think>\n"))
    few, _, all_of_it = swept(lm)
    assert few.calls[0].reasoning == words(8, "hm")
    assert all_of_it.calls[0].reasoning == f"{words(40, 'hm')}\n\n{words(6, SUM)}"


def test_fields_that_were_only_thought_of_are_no_answer():
    musing = "<think>\n[[ ## reasoning ## ]]\nso\n\n[[ ## answer ## ]]\nno\n</think>\n\n"
    lm = scripted_lm([musing + chat(reasoning="so", answer="yes"), words(80), musing + chat(answer="forced")])
    program = dspy.ChainOfThought(QUESTION)
    with dspy.context(lm=lm), ad.budget(64):
        assert program(question="?").answer == "yes"
    with dspy.context(lm=lm), ad.budget(2, answer_tokens=40) as spent:
        assert program(question="?").answer == "forced"
    assert spent.forced


@pytest.mark.parametrize("thought", ["shown", "inline"])
def test_who_thought_may_leave_the_field_for_reasoning_out(thought):
    text = chat(answer="sure")
    if thought == "shown":
        lm = scripted_lm(lambda request: text, thinking=lambda request: words(9))
    else:
        lm = scripted_lm(lambda request: f"<think>{words(9)}</think>{text}")
    with dspy.context(lm=lm), ad.budget(20) as spent:
        prediction = dspy.ChainOfThought(QUESTION)(question="?")
    assert (prediction.answer, prediction.reasoning) == ("sure", words(9))
    assert (spent.reasoning, spent.forced, spent.usage.calls) == (9, False, 1)


@pytest.mark.parametrize("native", [True, False])
def test_a_field_of_type_reasoning_holds_the_trace(native):
    class Ask(dspy.Signature):
        question: str = dspy.InputField()
        reasoning: dspy.Reasoning = dspy.OutputField()
        answer: str = dspy.OutputField()

    def told(request):
        return "partial_reasoning" in inputs_of(request)

    def say(request):
        if told(request):
            return chat(answer="guess")
        return chat(answer="sure") if native else chat(reasoning=words(40, "hm"), answer="sure")

    def think(request):
        return "" if told(request) else words(40, "hm")

    lm = scripted_lm(say, can_continue=False, thinking=think if native else None)
    few, all_of_it = swept(lm, (8, 90), dspy.Predict(Ask))
    assert (few.prediction.answer, all_of_it.prediction.answer) == ("guess", "sure")
    assert few.prediction.reasoning == dspy.Reasoning(content=words(8, "hm"))
    assert all_of_it.prediction.reasoning == dspy.Reasoning(content=words(40, "hm"))
    assert (few.reasoning_tokens, all_of_it.reasoning_tokens) == (8, 40)


def test_a_sweep_of_thinking_that_is_hidden_is_refused_at_once_with_the_reason_and_the_bill():
    lm = scripted_lm(reply, thinking=thinks, shows_thinking=False)
    with pytest.raises(ModelError, match=r"hides its thinking .*\(40 tokens.*mode=\"contract\".*completion tokens"):
        swept(lm)
    assert len(lm.engine.requests) == 1


def test_a_sweep_that_is_refused_pays_for_no_further_example():
    def slowly(request):
        time.sleep(0.05)
        return reply(request)

    lm = scripted_lm(slowly, thinking=thinks, shows_thinking=False)
    anytime = ad.Anytime(dspy.ChainOfThought(QUESTION), budgets=(8, 64))
    examples = [dspy.Example(question=str(i)).with_inputs("question") for i in range(20)]
    with dspy.context(lm=lm), pytest.raises(ModelError, match="hides its thinking"):
        sweep(anytime, examples, ad.AnytimeIndex(lambda example, prediction: 1.0))
    assert len(lm.engine.requests) < 5


def test_contract_mode_caps_hidden_thinking_and_forces_what_it_left_no_room_for():
    lm = scripted_lm(reply, thinking=thinks, shows_thinking=False)
    anytime = ad.Anytime(dspy.ChainOfThought(QUESTION), budgets=(8, 64), answer_tokens=24, mode="contract")
    with dspy.context(lm=lm):
        few, all_of_it = anytime(question="?").checkpoints
    assert [request.config.max_tokens for request in lm.engine.requests] == [88, 32, 24]
    assert (few.prediction.answer, few.forced, few.reasoning_tokens) == ("guess", True, 8)
    assert (all_of_it.prediction.answer, all_of_it.forced, all_of_it.reasoning_tokens) == ("sure", False, 46)
    assert lm.engine.requests[-1].config.reasoning.effort == "low"


def test_hidden_thinking_inside_a_forced_answer_stands_in_its_own_column():
    lm = scripted_lm(reply, thinking=lambda request: words(5 if is_forced(request) else 40), shows_thinking=False)
    with dspy.context(lm=lm), ad.budget(8, answer_tokens=24) as spent:
        assert dspy.ChainOfThought(QUESTION)(question="?").answer == "guess"
    assert spent.reasoning == 8
    assert spent.usage.hidden_tokens == 5


LENGTHS = st.integers(0, 30)


@given(LENGTHS, LENGTHS, LENGTHS, st.sampled_from(["shown", "hidden", "inline", "unopened"]), st.booleans(), st.data())
@settings(max_examples=150, deadline=None)
@pytest.mark.slow
def test_a_budget_holds_whatever_a_model_thinks(thought, reasoned, answered, kind, can_continue, data):
    budgets = data.draw(st.lists(st.integers(1, 70), min_size=1, max_size=4, unique=True).map(sorted))
    answer_tokens = data.draw(st.integers(6, 25))
    mode = "contract" if kind == "hidden" else "trace"
    text = chat(reasoning=words(reasoned, SUM), answer=words(answered, "say"))
    thinking = words(thought, "hm")
    if kind in ("shown", "hidden"):
        think, say = (lambda request: thinking), (lambda request: text)
    else:
        begin = "<think>\n" if kind == "inline" else ""
        think, say = None, lambda request: f"{begin}{thinking}\n</think>\n\n{text}"
    lm = scripted_lm(say, can_continue=can_continue, thinking=think, shows_thinking=kind == "shown")
    program = dspy.ChainOfThought(QUESTION)
    anytime = ad.Anytime(program, budgets=budgets, answer_tokens=answer_tokens, mode=mode)
    with dspy.context(lm=lm):
        for checkpoint in anytime(question="?").checkpoints:
            before = lm.engine.written
            with ad.budget(checkpoint.budget, answer_tokens=answer_tokens) as spent:
                prediction = program(question="?")
            assert lm.engine.written - before <= checkpoint.budget + 2 * answer_tokens
            assert checkpoint.prediction.toDict() == prediction.toDict()
            assert checkpoint.reasoning_tokens == spent.reasoning <= checkpoint.budget
            [call] = checkpoint.calls
            assert lm.engine.counter.count(call.reasoning) <= checkpoint.reasoning_tokens
