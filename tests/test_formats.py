"""Where reasoning ends and an answer begins, in each of DSPy's formats."""

from __future__ import annotations

import json
from xml.sax.saxutils import escape

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anytime_dspy.calls import formats
from anytime_dspy.testing import chat

COT = dspy.ChainOfThought("question -> answer").predict.signature
TWO_ANSWERS = dspy.ChainOfThought("question -> plan, cost: int").predict.signature
PLAIN = dspy.Signature("question -> answer")

CHAT, JSON, XML = dspy.ChatAdapter(), dspy.JSONAdapter(), dspy.XMLAdapter()
ADAPTERS = (CHAT, JSON, XML)

# What a format's own marks are made of is left out: a model that writes them into its reasoning has ended it.
LINES = st.lists(st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="[]"), min_size=1), min_size=1)
REASONING = LINES.map(" ".join)


def written(adapter: dspy.Adapter, reasoning: str, answer: str) -> str:
    if adapter is JSON:
        return json.dumps({"reasoning": reasoning, "answer": answer})
    if adapter is XML:
        return f"<reasoning>\n{escape(reasoning)}\n</reasoning>\n\n<answer>\n{escape(answer)}\n</answer>"
    return chat(reasoning=reasoning, answer=answer)


class Typed(dspy.Signature):
    question: str = dspy.InputField()
    plan: dspy.Reasoning = dspy.OutputField()
    answer: str = dspy.OutputField()


@pytest.mark.parametrize(
    ("signature", "reasoning", "answers"),
    [
        (COT, ("reasoning",), ("answer",)),
        (TWO_ANSWERS, ("reasoning",), ("plan", "cost")),
        (PLAIN, (), ("answer",)),
        (Typed, ("plan",), ("answer",)),
        (dspy.Signature("question -> reasoning"), (), ("reasoning",)),
        (dspy.Signature("question -> answer, reasoning"), (), ("answer", "reasoning")),
        (dspy.Signature("question -> thought, rationale, answer"), ("thought", "rationale"), ("answer",)),
    ],
)
def test_leading_fields_are_reasoning_and_the_rest_is_the_answer(signature, reasoning, answers):
    assert formats.reasoning_fields(signature) == reasoning
    assert formats.answer_fields(signature) == answers


@pytest.mark.parametrize("adapter", ADAPTERS)
@given(reasoning=REASONING)
def test_a_whole_completion_splits_into_what_its_adapter_parses(adapter, reasoning):
    if adapter is XML and "&" in reasoning:
        return  # the adapter undoes XML's escapes, and a cut text may end inside one
    text = written(adapter, reasoning, "42")
    split = formats.split(adapter, COT, text)
    assert split.reasoning.replace("&lt;", "<").replace("&gt;", ">").split() == reasoning.split()
    assert adapter.parse(COT, text)["reasoning"].split() == reasoning.split()
    assert split.answer_at is not None
    assert "42" in text[split.answer_at :]


@pytest.mark.parametrize("adapter", ADAPTERS)
@given(reasoning=REASONING, at=st.floats(0, 1))
def test_a_completion_cut_in_its_reasoning_leaves_a_prefix_of_it(adapter, reasoning, at):
    text = written(adapter, reasoning, "42")
    begun = text.index(reasoning[0]) if reasoning[0] in text else len(text)
    cut = text[: begun + int(at * len(reasoning))]
    split = formats.split(adapter, COT, cut)
    if adapter is CHAT and split.answer_at is None and cut.startswith("[[ ## reasoning ## ]]\n"):
        assert reasoning.startswith(split.reasoning)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize(
    "text", ["", " \n ", "[[", "{", "<reasoning", '{"reasoning": "a\\', '{"reasoning": "\\u00', "<a&"]
)
def test_a_malformed_completion_is_all_reasoning(adapter, text):
    split = formats.split(adapter, COT, text)
    assert split.answer_at is None
    assert len(split.reasoning) <= len(text)


def test_json_escapes_are_undone_also_where_the_text_is_cut():
    text = json.dumps({"reasoning": 'so\n"x" is \u00e9 and \U0001f98a', "answer": "1"})
    assert formats.split(JSON, COT, text).reasoning == 'so\n"x" is \u00e9 and \U0001f98a'
    for end in range(text.index("so\\n"), text.index('"answer"')):
        assert 'so\n"x" is \u00e9 and \U0001f98a'.startswith(formats.split(JSON, COT, text[:end]).reasoning)


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("42\n\n[[ ## completed ## ]]", "42\n\n"),
        ("42\n\n[[ ## completed ## ]] and more", "42\n\n"),
        ("42\n\n[[ ## compl", "42\n\n"),
        ("42 [[", "42 "),
        ("42 [[ ## other", "42 [[ ## other"),
        ("[[1, 2], [3, 4]]", "[[1, 2], [3, 4]]"),
        ("42", "42"),
        ("", ""),
    ],
)
def test_a_chat_ends_at_its_mark_of_completion_whole_or_cut(text, rest):
    assert text[: formats.completion_end(CHAT, COT, text)] == rest


def test_other_formats_have_no_mark():
    text = "{} [[ ## completed ## ]]"
    assert formats.completion_end(JSON, COT, text) == formats.completion_end(XML, COT, text) == len(text)


def test_only_the_chat_format_can_be_continued():
    assert formats.opening(CHAT, "answer") == "[[ ## answer ## ]]\n"
    assert formats.opening(JSON, "answer") is None
    assert formats.opening(XML, "answer") is None


def test_reasoning_takes_its_fields_type():
    assert formats.reasoning_value(COT, "so") == {"reasoning": "so"}
    assert formats.reasoning_value(PLAIN, "so") == {}
    assert formats.reasoning_value(Typed, "so") == {"plan": dspy.Reasoning(content="so")}
    assert formats.reasoning_value(dspy.Signature("q -> thought, rationale, a"), "so") == {
        "thought": "so",
        "rationale": None,
    }
