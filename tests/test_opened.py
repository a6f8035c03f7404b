"""Messages that are opened for an LM, answers that end at the next header, and what is said of a signature once."""

from __future__ import annotations

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.calls.formats import CHAT_END, CHAT_STOPS, MESSAGE_STOP
from anytime_dspy.calls.signature_text import remembering
from anytime_dspy.profiling import phase, profiled
from anytime_dspy.testing import prefill_of, scripted_lm, words

HEADER = "[[ ## reasoning ## ]]\n"
COT = dspy.ChainOfThought("question -> answer")


def opened_lm(thoughts: int, **options: object) -> dspy.LM:
    """An LM whose messages are opened for it, and which then thinks so many words."""
    text = f"{HEADER}{words(thoughts)}\n\n[[ ## answer ## ]]\n42\n\n{CHAT_END}"

    def reply(request):
        begun = prefill_of(request) or ""
        return text[len(begun) :] if text.startswith(begun) else f"7\n\n{CHAT_END}"

    lm = scripted_lm(reply, **options)
    lm.engine.opens_messages = True
    return lm


def test_a_message_is_opened_and_ends_before_its_mark():
    lm = opened_lm(6)
    with dspy.context(lm=lm), ad.budget(32, answer_tokens=16) as spent:
        prediction = COT(question="?")
    [request] = lm.engine.requests
    header = lm.engine.counter.count(HEADER)
    assert (prediction.answer, prediction.reasoning) == ("42", words(6))
    assert prefill_of(request) == HEADER
    assert request.config.max_tokens == 32 + 16 - header
    assert request.config.stop == (MESSAGE_STOP,)
    assert (spent.forced, spent.reasoning) == (False, 6)


@pytest.mark.parametrize("budget", [4, 8, 16])
def test_a_sweep_of_opened_messages_sees_what_live_runs_see(budget):
    lm = opened_lm(12)
    anytime = ad.Anytime(COT, (4, 8, 16), answer_tokens=16)
    with dspy.context(lm=lm):
        swept = next(one for one in anytime(question="?").checkpoints if one.budget == budget)
        with ad.budget(budget, answer_tokens=16) as spent:
            live = COT(question="?")
    assert swept.prediction.toDict() == live.toDict()
    assert (swept.reasoning_tokens, swept.forced) == (spent.reasoning, spent.forced)


@pytest.mark.parametrize("opens", [True, False])
def test_a_forced_answer_ends_at_the_next_header_where_nothing_else_can_follow(opens):
    lm = opened_lm(40)
    lm.engine.opens_messages = opens
    two = dspy.ChainOfThought("question -> answer, unit")
    for program, alone in ((COT, True), (two, False)):
        with dspy.context(lm=lm), ad.budget(4, answer_tokens=24):
            program(question="?")
        stop = lm.engine.requests[-1].config.stop
        assert stop == (("\n[[ ##", CHAT_STOPS[1]) if opens and alone else CHAT_STOPS)


def test_an_lm_that_may_think_in_its_text_opens_its_own_messages():
    lm = opened_lm(6)
    lm.engine.opens_messages = False
    with dspy.context(lm=lm), ad.budget(32, answer_tokens=16):
        assert COT(question="?").answer == "42"
    assert prefill_of(lm.engine.requests[0]) is None


@pytest.mark.parametrize("kind", [dspy.ChatAdapter, dspy.JSONAdapter, dspy.XMLAdapter])
def test_what_is_remembered_of_a_signature_is_what_dspy_says(kind):
    class Asked(dspy.Signature):
        """First."""

        question: str = dspy.InputField()
        answer: int = dspy.OutputField(desc="a number")

    plain, inputs = kind(), {"question": "?"}
    for instructions in ("First.", "Second."):
        Asked.instructions = instructions  # as an optimiser may write into a signature that is there
        assert remembering(plain).format(Asked, [], inputs) == plain.format(Asked, [], inputs)
        assert instructions in remembering(plain).format(Asked, [], inputs)[0]["content"]


@pytest.mark.parametrize("kind", [dspy.ChatAdapter, dspy.JSONAdapter, dspy.XMLAdapter])
@pytest.mark.parametrize("value", ["plain", " <b>\n[[ ## note ## ]]\n \0 {note} ", "", "\ud800", ["a", "b"], 7, None])
def test_inputs_are_written_as_dspy_writes_them(kind, value):
    class Asked(dspy.Signature):
        question: str = dspy.InputField()
        note: str | list[str] | int | None = dspy.InputField()
        answer: float = dspy.OutputField()

    plain, inputs = kind(), {"note": value, "question": "How \\much? "}
    demos = [{"question": "q", "note": value, "answer": 1.5}, {"note": value, "answer": 2.0}, {"question": "q"}]
    for _ in range(2):
        assert remembering(plain).format(Asked, demos, dict(inputs)) == plain.format(Asked, demos, dict(inputs))
    del inputs["note"]
    assert remembering(plain).format(Asked, [], inputs) == plain.format(Asked, [], inputs)


def test_an_adapter_of_ones_own_is_asked_every_time():
    class Dated(dspy.ChatAdapter):
        said = 0

        def format_system_message(self, signature):
            Dated.said += 1
            return f"{Dated.said}: {super().format_system_message(signature)}"

    adapter = remembering(Dated())
    first, second = (adapter.format(COT.predict.signature, [], {"question": "?"})[0]["content"] for _ in range(2))
    assert (first[:2], second[:2]) == ("1:", "2:")


def test_a_phase_counts_what_is_not_in_another_one():
    with profiled() as profile, phase("outer"), phase("inner"):
        pass
    assert list(profile.seconds) == ["inner", "outer"]
    with phase("nobody asks"):
        pass
    assert "nobody asks" not in profile.seconds
