"""Programs that change their inputs, their answers or what a tool gave them: each budget starts anew."""

from __future__ import annotations

import asyncio

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.runtime.copies import own_copy
from anytime_dspy.testing import chat, is_forced, prefill_of, prompt_of, scripted_lm, words

METRIC = ad.AnytimeIndex(lambda example, prediction: float(example.y == prediction.y))


class Chat(dspy.Module):
    """Adds each turn to the history that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.ChainOfThought("history: dspy.History, q -> y")

    def forward(self, history: dspy.History, q: str) -> dspy.Prediction:
        answer = self.answer(history=history, q=q)
        history.messages.append({"q": q, "y": answer.y})
        return answer

    async def aforward(self, history: dspy.History, q: str) -> dspy.Prediction:
        answer = await self.answer.acall(history=history, q=q)
        history.messages.append({"q": q, "y": answer.y})
        return answer


def chat_lm() -> dspy.LM:
    return scripted_lm(lambda request: "guess" if is_forced(request) else chat(reasoning=words(20), y="SURE"))


@pytest.mark.parametrize("mode", ["trace", "contract"])
@pytest.mark.parametrize("is_async", [False, True])
def test_no_budget_sees_what_another_one_added_to_its_inputs(mode: str, is_async: bool) -> None:
    history, lm = dspy.History(messages=[]), chat_lm()
    program = ad.Anytime(Chat(), (4, 8, 64), answer_tokens=16, mode=mode)  # type: ignore[arg-type]
    with dspy.context(lm=lm):
        answers = asyncio.run(program.acall(history=history, q="1")) if is_async else program(history=history, q="1")
    assert [point.prediction.y for point in answers.checkpoints] == ["guess", "guess", "SURE"]
    assert history.messages == [{"q": "1", "y": "SURE"}], "the caller sees one turn, the best one"
    assert not any("SURE" in (message.text or "") for asked in lm.engine.requests for message in asked.messages)
    assert all(not call.inputs["history"].messages for point in answers.checkpoints for call in point.calls)


class Appending(dspy.Module):
    """Changes a tool's value and an answer in place before the next call."""

    def __init__(self) -> None:
        super().__init__()
        self.listed = dspy.ChainOfThought("q -> y: list[str]")
        self.joined = dspy.ChainOfThought("q -> z")
        self.tool = dspy.Tool(lambda: ["t"], name="t")

    def forward(self, q: str) -> dspy.Prediction:
        seen, answer = self.tool(), self.listed(q=q)
        seen.append("u")
        answer.y.append("note")
        return self.joined(q=" ".join(answer.y + seen))


@pytest.mark.parametrize("mode", ["trace", "contract"])
def test_a_replayed_answer_and_a_tools_value_are_as_they_were_recorded(mode: str) -> None:
    def reply(request):
        listed = "`y`" in prompt_of(request)
        if prefill_of(request):
            return '["k"]' if listed else "42"
        return chat(reasoning=words(5), y='["k"]') if listed else chat(reasoning=words(5), z="42")

    with dspy.context(lm=scripted_lm(reply)):
        answers = ad.Anytime(Appending(), (6, 8, 64), answer_tokens=16, mode=mode)(q="1")  # type: ignore[arg-type]
    assert [point.calls[1].inputs["q"] for point in answers.checkpoints] == ["k note t u"] * 3


def test_a_tool_among_the_inputs_is_no_copy() -> None:
    tool = dspy.Tool(lambda: "t", name="t")
    assert own_copy({"tools": [tool], "seen": ["a"]})["tools"][0] is tool


class Reading(dspy.Module):
    """Uses the attributes of its typed inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.ChainOfThought("turns: int, q -> y")

    def forward(self, history: dspy.History, q: str) -> dspy.Prediction:
        return self.answer(turns=len(history.messages), q=q)


def test_a_sweep_gives_a_program_the_inputs_that_evaluate_gives_it() -> None:
    history = dspy.History(messages=[{"q": "a", "y": "b"}])
    data = [dspy.Example(id="one", history=history, q="1", y="42").with_inputs("history", "q")]
    lm = scripted_lm(lambda request: "42" if is_forced(request) else chat(reasoning="a b c", y="42"))
    with dspy.context(lm=lm):
        (result,) = ad.sweep(ad.Anytime(Reading(), (8, 64), answer_tokens=16), data, METRIC)
        (turn,) = ad.sweep(ad.Anytime(Chat(), (8, 64), answer_tokens=16), data, METRIC)
    assert [point.quality for point in (*result.points, *turn.points)] == [1.0] * 4
    assert turn.inputs["history"] == {"messages": [{"q": "a", "y": "b"}]}, "stored as they were given"


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"metric": lambda example, prediction: 1.0}, "metric must be an AnytimeIndex"),
        ({"store": "folder"}, "store must be a run folder"),
        ({"threads": 0}, "threads must be a whole number"),
        ({"threads": "2"}, "threads must be a whole number"),
        ({"examples": [{"q": "1"}]}, "example 0 is a dict"),
        ({"examples": [dspy.Example(q="1")]}, "call .with_inputs"),
        ({"examples": []}, "no examples"),
        ({"examples": [dspy.Example(id=7, q=str(n)).with_inputs("q") for n in range(2)]}, "the same id, '7'"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_any_call(wrong: dict, complaint: str) -> None:
    lm = chat_lm()
    given = {"examples": [dspy.Example(q=str(n), y="SURE").with_inputs("q") for n in range(5)], "metric": METRIC}
    with dspy.context(lm=lm), pytest.raises(ad.AnytimeError, match=complaint):
        ad.sweep(ad.Anytime(dspy.ChainOfThought("q -> y"), (8, 64)), **{**given, **wrong})
    assert not lm.engine.requests


def test_a_bare_program_is_refused_after_its_first_example() -> None:
    lm = chat_lm()
    data = [dspy.Example(q=str(n), y="SURE").with_inputs("q") for n in range(5)]
    with dspy.context(lm=lm), pytest.raises(ad.ProgramError, match="no checkpoints"):
        ad.sweep(dspy.ChainOfThought("q -> y"), (one for one in data), METRIC)  # type: ignore[arg-type]
    assert len(lm.engine.requests) <= 2, "the next one may have begun"


@pytest.mark.parametrize("can_continue", [True, False])
def test_an_lm_that_answers_in_json_is_read_as_the_bare_program_reads_it(can_continue: bool) -> None:
    reply = '{"reasoning": "2+2", "y": "42"}'
    lm = scripted_lm(lambda request: reply, can_continue=can_continue)
    with dspy.context(lm=lm):
        bare = dspy.ChainOfThought("q -> y")(q="1")
        asked = len(lm.engine.requests)
        with ad.budget(64, answer_tokens=32) as spent:
            answer = dspy.ChainOfThought("q -> y")(q="1")
        assert (answer.y, answer.reasoning) == (bare.y, bare.reasoning) == ("42", "2+2")
        assert spent.answered
        assert len(lm.engine.requests) == asked + 1, "what the reply held is not asked for again"
        with ad.budget(1, answer_tokens=32):
            assert dspy.ChainOfThought("q -> y")(q="1").y == "42"
