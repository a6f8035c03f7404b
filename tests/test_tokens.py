"""Counting and cutting."""

from __future__ import annotations

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anytime_dspy.calls.tokens import LiteLLMCounter, TokenCounter, counter_for, cut_by_codec
from anytime_dspy.testing import WordCounter, scripted_lm


def encode_bytes(text: str) -> list[int]:
    """One token a byte, but two where "ab" stands together: merging tokens, and characters of several tokens."""
    return list(text.encode().replace(b"ab", b"\xff"))


def decode_bytes(ids: list[int]) -> str:
    return bytes(ids).replace(b"\xff", b"ab").decode(errors="replace")


TEXTS = st.text(st.sampled_from("ab é🦊 \n"), max_size=30)


@given(TEXTS, st.integers(-2, 40))
def test_a_cut_is_the_prefix_that_fits(text, tokens):
    prefix = cut_by_codec(encode_bytes, decode_bytes, text, tokens)
    assert text.startswith(prefix)
    assert len(encode_bytes(prefix)) <= max(tokens, 0)
    longer = text[: len(prefix) + 1]
    assert prefix == text or len(encode_bytes(longer)) > tokens or longer.endswith("a")


def test_what_fits_is_not_cut():
    assert cut_by_codec(encode_bytes, decode_bytes, "aab", 2) == "aab"
    assert cut_by_codec(encode_bytes, decode_bytes, "🦊", 3) == ""


@given(st.text(max_size=60), st.integers(0, 40))
def test_words_cut_anywhere_give_the_text_back(text, tokens):
    counter = WordCounter()
    prefix = counter.cut(text, tokens)
    assert text.startswith(prefix)
    assert counter.count(prefix) == min(tokens, counter.count(text))
    assert counter.cut(text, counter.count(text)) == text


def test_an_engine_with_a_counter_counts_itself():
    lm = scripted_lm(["one"])
    assert counter_for(lm) is lm.engine.counter
    assert isinstance(lm.engine.counter, TokenCounter)


@pytest.mark.filterwarnings("ignore")  # litellm's own
def test_any_other_lm_is_counted_by_litellm():
    counter = counter_for(dspy.LM("openai/gpt-4o-mini"))
    assert isinstance(counter, LiteLLMCounter)
    assert counter.name == "litellm:openai/gpt-4o-mini"
    assert counter_for(dspy.LM("openai/gpt-4o-mini")) is counter
