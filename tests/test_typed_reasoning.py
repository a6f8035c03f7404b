"""A rationale of another type than text has that type wherever it is cut."""

from __future__ import annotations

import json

import dspy
import pydantic
import pytest

import anytime_dspy as ad
from anytime_dspy.testing import chat, prefill_of, question_of, scripted_lm, words

STEPS = [words(3, f"{letter}") for letter in "abcdefgh"]


class Thought(pydantic.BaseModel):
    idea: str
    check: str


def sweep(kind: type, reasoning: object, adapter: dspy.Adapter, *, can_continue: bool = True) -> ad.AnytimePrediction:
    text = json.dumps(reasoning)
    whole = json.dumps({"reasoning": reasoning, "answer": "late"})
    if not isinstance(adapter, dspy.JSONAdapter):
        whole = chat(reasoning=text, answer="late")

    def reply(request):
        if prefill_of(request) is not None:
            return "early"
        if "partial_reasoning" in question_of(request) or "starting with the field `[[ ## answer" in question_of(
            request
        ):
            return '{"answer": "early"}' if isinstance(adapter, dspy.JSONAdapter) else chat(answer="early")
        return whole

    program = dspy.ChainOfThought("question -> answer", rationale_field_type=kind)
    with dspy.context(lm=scripted_lm(reply, can_continue=can_continue), adapter=adapter):
        return ad.Anytime(program, (1, 4, 11, 64), answer_tokens=16)(question="?")


@pytest.mark.parametrize(
    "adapter", [dspy.ChatAdapter(), dspy.JSONAdapter()], ids=lambda adapter: type(adapter).__name__
)
@pytest.mark.parametrize("can_continue", [True, False])
def test_a_typed_rationale_has_one_type_whether_it_ended_or_was_cut(adapter, can_continue):
    checkpoints = sweep(list[str], STEPS, adapter, can_continue=can_continue).checkpoints
    assert [checkpoint.prediction.answer for checkpoint in checkpoints] == ["early", "early", "early", "late"]
    assert [type(checkpoint.prediction.reasoning) for checkpoint in checkpoints] == [list] * 4
    assert checkpoints[-1].prediction.reasoning == STEPS
    cut = checkpoints[1].prediction.reasoning
    assert cut[0] == STEPS[0]
    assert STEPS[1].startswith(cut[1])


@pytest.mark.parametrize(
    "adapter", [dspy.ChatAdapter(), dspy.JSONAdapter()], ids=lambda adapter: type(adapter).__name__
)
def test_its_text_is_what_the_lm_wrote_wherever_it_was_cut(adapter):
    calls = [checkpoint.calls[0] for checkpoint in sweep(list[str], STEPS, adapter).checkpoints]
    assert calls[-1].reasoning == json.dumps(STEPS)
    assert all(call.reasoning and json.dumps(STEPS).startswith(call.reasoning) for call in calls)


def test_prose_in_place_of_a_list_is_its_only_item():
    def reply(request):
        return "early" if prefill_of(request) else chat(reasoning=words(40), answer="late")

    program = dspy.ChainOfThought("question -> answer", rationale_field_type=list[str])
    with dspy.context(lm=scripted_lm(reply)):
        prediction = ad.Anytime(program, (3,), answer_tokens=16)(question="?")
    assert prediction.reasoning == [words(3)]


def test_a_model_is_none_as_long_as_it_lacks_a_field():
    checkpoints = sweep(Thought, {"idea": words(5), "check": words(9)}, dspy.ChatAdapter()).checkpoints
    assert [checkpoint.prediction.reasoning for checkpoint in checkpoints[:2]] == [None, None]
    cut, whole = (checkpoint.prediction.reasoning for checkpoint in checkpoints[2:])
    assert (cut.idea, whole.idea, whole.check) == (words(5), words(5), words(9))
    assert whole.check.startswith(cut.check)
