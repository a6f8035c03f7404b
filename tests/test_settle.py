"""What a completion is worth under an allowance."""

from __future__ import annotations

import dspy
from dspy.utils.exceptions import AdapterParseError
from hypothesis import given
from hypothesis import strategies as st

from anytime_dspy.calls.completion import Completion
from anytime_dspy.runtime.allowance import Allowance
from anytime_dspy.runtime.truncation import Truncated, truncate
from anytime_dspy.testing import WordCounter, chat, words

COT = dspy.ChainOfThought("question -> answer").predict.signature
COUNTER = WordCounter()
HEADER = 5  # words of a header: [[ ## answer ## ]]


def read(text: str) -> dict[str, str] | None:
    try:
        return dspy.ChatAdapter().parse(COT, text)
    except AdapterParseError:
        return None


def cut_to(text: str, reasoning: int, answer: int = 20, **options: object) -> Truncated:
    completion = Completion(text, **{"truncated": False, "values": read(text), **options})
    return truncate(dspy.ChatAdapter(), COT, completion, Allowance(reasoning, answer), COUNTER)


def whole(reasoning: int, answer: int = 2) -> str:
    return chat(reasoning=words(reasoning), answer=words(answer, "say"))


def test_a_completion_that_fits_is_kept():
    result = cut_to(whole(10), 10)
    assert result.values == {"reasoning": words(10), "answer": words(2, "say")}
    assert (result.reasoning, result.reasoning_tokens, result.cut) == (words(10), 10, False)
    assert result.answer_tokens == COUNTER.count(whole(10)) - 10


def test_reasoning_beyond_the_allowance_is_cut():
    result = cut_to(whole(10), 9)
    assert result.values is None
    assert (result.reasoning, result.reasoning_tokens, result.cut) == (words(9), 9, True)


def test_a_recorded_completion_is_cut_to_what_would_have_been_written():
    result = cut_to(whole(100), 30)
    assert (result.reasoning, result.reasoning_tokens, result.cut) == (words(30), 30, True)
    assert result.answer_tokens == 20  # what the capped call wrote beyond its budget


def test_a_long_answer_is_charged_for_what_exceeds_its_own_allowance():
    text = whole(10, answer=40)
    result = cut_to(text, 60)
    assert result.values is not None
    assert result.reasoning_tokens == COUNTER.count(text) - 20
    assert result.answer_tokens == 20


def test_a_completion_that_fills_its_cap_is_cut():
    text = f"[[ ## reasoning ## ]]\n{words(10)}"
    assert cut_to(text, HEADER + 10 - 5, 5).cut
    assert not cut_to(text, HEADER + 10 - 5, 6).cut


def test_a_long_answer_that_cannot_be_read_is_charged_too():
    text = f"[[ ## reasoning ## ]]\n{words(3)}\n\n[[ ## answer ##\n{words(50)}"
    assert cut_to(text, 200).values is None
    signature = dspy.ChainOfThought("question -> answer: int").predict.signature
    text = chat(reasoning=words(3), answer=words(50))
    result = truncate(dspy.ChatAdapter(), signature, Completion(text, False), Allowance(200, 20), COUNTER)
    assert result.values is None
    assert not result.cut
    assert result.reasoning == words(3)
    assert result.reasoning_tokens == COUNTER.count(text) - 20


def test_an_empty_answer_is_no_answer():
    assert cut_to(chat(reasoning="so", answer=""), 10).values is None


def test_hidden_thinking_counts_against_the_cap():
    result = cut_to("", 10, thinking=words(30), hidden_tokens=30, truncated=True)
    assert (result.values, result.reasoning, result.reasoning_tokens) == (None, words(10), 10)
    assert result.answer_tokens == 20
    hidden = cut_to(whole(4), 40, hidden_tokens=20)
    assert hidden.reasoning_tokens == 20 + 4


TEXTS = st.one_of(
    st.builds(whole, st.integers(0, 40), st.integers(0, 40)),
    st.text(max_size=80),
    st.lists(
        st.sampled_from(["a b", "[[ ## answer ## ]]", "\n", "[[ ## completed ## ]]", "[[ ## reasoning ## ]]"])
    ).map("".join),
)


@given(TEXTS, st.integers(0, 40), st.integers(1, 20), st.booleans(), st.integers(0, 70))
def test_the_charge_never_exceeds_the_allowance_nor_all_that_was_written(text, reasoning, answer, truncated, hidden):
    result = cut_to(text, reasoning, answer, truncated=truncated, hidden_tokens=hidden)
    assert 0 <= result.reasoning_tokens <= reasoning
    assert COUNTER.count(result.reasoning) <= result.reasoning_tokens
    assert 0 <= result.answer_tokens <= answer
    assert result.reasoning_tokens + result.answer_tokens <= COUNTER.count(text) + hidden
    for passage in result.reasoning.split("\n\n"):  # what stands before a header and what stands behind it
        assert passage in text


@given(TEXTS, st.integers(0, 40), st.integers(1, 20))
def test_settling_again_under_the_same_allowance_changes_nothing(text, reasoning, answer):
    cap = reasoning + answer
    live = COUNTER.cut(text, cap)
    capped = cut_to(live, reasoning, answer, truncated=COUNTER.count(live) == cap)
    assert capped == cut_to(text, reasoning, answer)


@given(TEXTS, st.integers(1, 20), st.integers(0, 30), st.integers(0, 30))
def test_a_larger_budget_keeps_no_less_reasoning(text, answer, first, second):
    smaller, larger = sorted((first, second))
    few, many = cut_to(text, smaller, answer), cut_to(text, larger, answer)
    if few.values is None:
        assert few.reasoning_tokens <= many.reasoning_tokens
