"""A field is missing when it could not be read, not when what was read is None or empty."""

from __future__ import annotations

import itertools
import json
from datetime import date
from typing import Any, Literal, Optional

import dspy
import pytest
from dspy.lm15 import Message, Response, ToolCallPart, Usage

import anytime_dspy as ad
from anytime_dspy.optimizers import PDP, SelfConsistency
from anytime_dspy.optimizers.traces.sampling import Sampling, sample_traces
from anytime_dspy.optimizers.traces.trace_file import TraceLog
from anytime_dspy.testing import ScriptedEngine, chat, prefill_of, question_of, scripted_lm, words

CHAT, JSON, XML = dspy.ChatAdapter(), dspy.JSONAdapter(), dspy.XMLAdapter()
BUDGETS = (4, 8, 32)
OPTIONAL = Optional[int]  # noqa: UP045 - another type than `int | None`, and as most signatures spell it


def program(annotation: Any, **more: Any) -> dspy.ChainOfThought:
    fields = {"text": (str, dspy.InputField()), "year": (annotation, dspy.OutputField())}
    return dspy.ChainOfThought(dspy.Signature({**fields, **{n: (t, dspy.OutputField()) for n, t in more.items()}}))


def run(subject: dspy.Module, replies: Any, adapter: dspy.Adapter = CHAT, **options: Any) -> tuple[Any, int]:
    """The prediction at every budget, and the calls that were made for it."""
    lm = scripted_lm(replies, **options)
    with dspy.context(lm=lm, adapter=adapter):
        prediction = ad.Anytime(subject, (32,), answer_tokens=16)(text="?")
    return prediction, len(lm.engine.requests)


def score(prediction: ad.AnytimePrediction, label: Any) -> float:
    """The Anytime Index by the metric that DSPy would be given."""
    metric = ad.AnytimeIndex(lambda example, answer: float(answer.year == example.year))
    return metric(dspy.Example(year=label), prediction)


@pytest.mark.parametrize(
    ("annotation", "written", "value"),
    [
        (OPTIONAL, "null", None),
        (int | None, "null", None),
        (date | None, "null", None),
        (int | list[int] | None, "null", None),
        (Literal["", "1969"], "", ""),
        (str | None, "", ""),
        (list[int], "[]", []),
        (dict[str, int], "{}", {}),
        (bool, "False", False),
        (int, "0", 0),
    ],
    ids=str,
)
def test_a_right_none_is_no_missing_answer(annotation, written, value):
    prediction, calls = run(program(annotation), [chat(reasoning="so it is", year=written)])
    (checkpoint,) = prediction.checkpoints
    assert (prediction.year, calls) == (value, 1)
    assert (checkpoint.answered, checkpoint.forced, checkpoint.state) == (True, False, "answered")
    assert score(prediction, value) == 1.0


@pytest.mark.parametrize(("annotation", "value"), [(int | None, None), (str | None, None), (str, "")])
def test_a_none_or_an_empty_text_in_json_is_an_answer(annotation, value):
    reply = json.dumps({"reasoning": "so it is", "year": value})
    prediction, calls = run(program(annotation), [reply], JSON)
    assert (prediction.year, prediction.checkpoints[0].answered, calls) == (value, True, 1)


def test_an_empty_element_in_xml_is_an_answer():
    prediction, calls = run(program(str), ["<reasoning>so</reasoning><year></year>"], XML)
    assert (prediction.year, prediction.checkpoints[0].answered, calls) == ("", True, 1)


@pytest.mark.parametrize(("adapter", "reply"), [(CHAT, "null"), (JSON, '{"year": null}')])
@pytest.mark.parametrize("can_continue", [True, False])
def test_a_forced_none_is_an_answer(adapter, reply, can_continue):
    def answer(request):
        if prefill_of(request) is not None:
            return reply
        asked = "partial_reasoning" in question_of(request)
        thought = chat(reasoning=words(90), year="1969")
        return (reply if adapter is JSON else chat(year=reply)) if asked else thought

    prediction, calls = run(program(int | None), answer, adapter, can_continue=can_continue)
    (checkpoint,) = prediction.checkpoints
    assert (prediction.year, checkpoint.answered, checkpoint.forced, calls) == (None, True, True, 2)
    assert score(prediction, None) == 1.0


def test_the_none_that_dspy_gives_for_a_field_never_written_is_no_answer():
    """DSPy reads an Optional field as None where the reply breaks off before it."""
    prediction, calls = run(program(int | None), [chat(reasoning=words(90), end=""), "1969"])
    assert (prediction.year, calls) == (1969, 2)
    prediction, calls = run(program(int | None), [chat(reasoning="so"), "???"])
    assert (prediction.year, prediction.checkpoints[0].state, calls) == (None, "unreadable", 2)
    assert score(prediction, None) == 0.0


def test_an_optional_field_left_out_of_a_whole_reply_is_none_as_in_dspy():
    subject = program(int, month=int | None)
    prediction, calls = run(subject, [chat(reasoning="so", year=1969)])
    assert (prediction.month, prediction.checkpoints[0].answered, calls) == (None, True, 1)
    cut = chat(reasoning=words(80), year=1969)
    prediction, _ = run(subject, [cut, "1969\n\n[[ ## month ## ]]\n7"])
    assert (prediction.month, prediction.checkpoints[0].answered) == (7, True)
    (checkpoint,) = run(program(str, month=int | None), [cut, words(90)])[0].checkpoints
    assert (checkpoint.prediction.month, checkpoint.answered, checkpoint.state) == (None, False, "censored")


def test_an_empty_text_in_the_chat_format_is_an_answer_beside_another_one_only():
    alone, calls = run(program(str), [chat(reasoning="so", year=""), ""])
    assert (alone.checkpoints[0].state, calls) == ("unreadable", 2)
    beside, calls = run(program(int, remark=str), [chat(reasoning="so", year=1969, remark="")])
    assert (beside.remark, beside.checkpoints[0].answered, calls) == ("", True, 1)


class ToolEngine(ScriptedEngine):
    """Calls a tool natively in each reply that is scripted as the name of one."""

    supports_function_calling = True

    def complete(self, request):
        response = super().complete(request)
        if response.message.text != "look_up":
            return response
        called = Message("assistant", (ToolCallPart("1", "look_up", {"word": "moon"}),))
        return Response(None, request.model, called, "tool_call", Usage(10, 5))


@pytest.mark.parametrize("reply", ["look_up", chat(reasoning="no need", answer="1969")])
def test_native_tool_calls_beside_a_text_field_are_answers(reply):
    def look_up(word: str) -> str:
        """Looks up a word."""
        return word

    signature = dspy.Signature("question: str, tools: list[dspy.Tool] -> answer: str, calls: dspy.ToolCalls")
    subject = dspy.ChainOfThought(signature)
    lm = dspy.LM("scripted/tools", engine=ToolEngine([reply] * 2), cache=False)
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter(use_native_function_calling=True)):
        plain = subject(question="?", tools=[dspy.Tool(look_up)])
        prediction = ad.Anytime(subject, (32,), answer_tokens=16)(question="?", tools=[dspy.Tool(look_up)])
    assert len(lm.engine.requests) == 2
    assert prediction.checkpoints[0].answered
    assert (prediction.answer, prediction.calls) == (plain.answer, plain.calls)
    assert (prediction.answer is None) != (prediction.calls is None)


def test_a_budget_that_cuts_a_program_with_native_tools_asks_for_its_answer():
    def reply(request):
        asked = "partial_reasoning" in question_of(request)
        return chat(answer="1969") if asked else chat(reasoning=words(90), answer="late")

    signature = dspy.Signature("question: str, tools: list[dspy.Tool] -> answer: str, calls: dspy.ToolCalls")
    lm = dspy.LM("scripted/tools", engine=ToolEngine(reply), cache=False)
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter(use_native_function_calling=True)):
        subject = ad.Anytime(dspy.ChainOfThought(signature), (8,), answer_tokens=16)
        prediction = subject(question="?", tools=[dspy.Tool(len, name="look_up")])
    assert (prediction.answer, prediction.calls, prediction.checkpoints[0].answered) == ("1969", None, True)


def test_an_agent_that_ends_in_a_none_has_answered_though_a_step_could_not_be_read():
    class Steps(dspy.Module):
        def __init__(self):
            self.step, self.last = dspy.Predict("text -> number: int"), program(int | None)

        def forward(self, text):
            self.step(text=text)
            return self.last(text=text)

    unreadable = [chat(number="many"), "many"]
    prediction, _ = run(Steps(), [*unreadable, chat(reasoning="so", year="null")])
    assert [call.answered for call in prediction.checkpoints[0].calls] == [False, True]
    assert prediction.checkpoints[0].answered
    prediction, _ = run(Steps(), [*unreadable, chat(reasoning="so", year="many"), "many"])
    assert not prediction.checkpoints[0].answered
    steps = Steps()
    steps.step = program(int | None)
    replies = [chat(reasoning="first", year="null"), chat(reasoning="then", year="many"), "many"]
    assert not run(steps, replies)[0].checkpoints[0].answered


def test_a_none_has_a_vote_and_an_answer_that_could_not_be_read_has_none():
    def vote(*years):
        turns = iter(years)
        voting = SelfConsistency(program(int | None), 3)
        reply = lambda r: "many" if prefill_of(r) else chat(reasoning="so", year=next(turns))  # noqa: E731
        with dspy.context(lm=scripted_lm(reply)), ad.budget(90, answer_tokens=16) as spent:
            return voting(text="?").year, spent.answered

    assert vote("null", "1969", "null") == (None, True)
    assert vote("many", "many", "1969") == (1969, False)


def test_a_stopping_rule_sees_that_two_nones_are_the_same():
    reply = lambda r: "null" if prefill_of(r) else chat(reasoning=words(90), year="1969")  # noqa: E731
    with dspy.context(lm=scripted_lm(reply)):
        subject = ad.Anytime(program(int | None), BUDGETS, answer_tokens=16, stop=ad.Converged(2))
        prediction = subject(text="?")
    assert [checkpoint.reasoning_tokens for checkpoint in prediction.checkpoints] == [4, 8, 8]


def test_kept_traces_keep_what_was_read_and_what_was_not(tmp_path):
    reply = lambda r: "null\n\n[[ ## month ## ]]\nmay" if prefill_of(r) else chat(reasoning="so", year="null")  # noqa: E731
    lm, example = scripted_lm(reply), dspy.Example(text="?").with_inputs("text")
    student = ad.Anytime(program(int | None, month=int), (4, 32), answer_tokens=16)

    def traces():
        log = TraceLog(tmp_path / "traces.jsonl")
        with dspy.context(lm=lm):
            return sample_traces(student, [example], Sampling(samples=1), log=log)

    (made,), (kept,) = traces(), traces()
    assert [point.calls for point in made.checkpoints] == [point.calls for point in kept.checkpoints]
    assert kept.checkpoints[0].calls[0].unread == ("year", "month")


def test_preferences_are_found_where_none_is_the_better_answer():
    """Two of three samples say rightly that a text names no year; who takes None for no answer sees no winner."""

    def reply(request):
        begun = prefill_of(request)
        if begun is not None:
            return "null" if "none" in begun else "1969"
        sure = next(turns) % 3 != 0
        thought = "none is named here" if sure else "it may be the year of the moon"
        return chat(reasoning=thought, year="null" if sure else "1969")

    turns = itertools.count()
    metric = ad.AnytimeIndex(lambda example, prediction: float(prediction.year == example.year))
    examples = [dspy.Example(text=f"text {n}", year=None).with_inputs("text") for n in range(4)]
    with dspy.context(lm=scripted_lm(reply)):
        student = ad.Anytime(program(int | None), (4, 8), answer_tokens=16)
        report = PDP(metric, judge="agreement", trials=0).compile(student, trainset=examples).compile_report
    assert report.pairs > 0
    assert all(pair.chosen.outputs["year"] is None for pair in report.selected)
    assert report.gold_selected.agree == len(report.selected)
