"""Whatever a model writes, a reader says what the answer is, or that there is none, and soon."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anytime_dspy.programs.aime import read_integer
from anytime_dspy.programs.gpqa import read_letter

PIECES = st.sampled_from(
    [
        "the answer is ",
        "\\boxed{",
        "}",
        "{",
        "\\frac",
        "\\text{",
        "(",
        ")",
        "=",
        "-",
        "/",
        "^",
        ",",
        ".",
        "\n",
        "$",
        "**",
    ]
)
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=4), st.integers().map(str), st.sampled_from("ABCDabcd"))).map(
    "".join
)


@given(TEXTS)
def test_an_integer_is_one_or_none(text: str) -> None:
    found = read_integer(text)
    assert found is None or (found == str(int(found)) and 0 <= int(found) <= 999)


@given(TEXTS)
def test_a_letter_is_one_or_none(text: str) -> None:
    assert read_letter(text) in {None, "A", "B", "C", "D"}


@given(
    st.integers(min_value=0, max_value=999), st.sampled_from(["{}", "\\boxed{{{}}}", "answer: {}", "x = {}", "${}$."])
)
def test_every_answer_is_read_back(answer: int, form: str) -> None:
    assert read_integer(form.format(f"{answer:03d}")) == str(answer)


@pytest.mark.parametrize(
    "text", ["9" * 20_000, "{" * 5_000, "\\boxed{" * 2_000, "answer " * 5_000, "(a " * 5_000, "-" * 9_000]
)
def test_long_nonsense_is_read_in_no_time(text: str) -> None:
    start = time.process_time()
    read_integer(text), read_letter(text)
    assert time.process_time() - start < 5
