"""Word problems: reading answers, GSM8K, and the generator checked by its own numbers."""

from __future__ import annotations

import ast
import operator
import re
from collections import Counter
from fractions import Fraction
from pathlib import Path

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anytime_dspy.errors import DataError
from anytime_dspy.programs import word_problems
from anytime_dspy.programs.examples import test_examples as drawn_for_test
from anytime_dspy.programs.numbers.reader import read_number
from anytime_dspy.programs.word_problems.stories import STORIES

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def evaluate(node: ast.expr, results: list[Fraction]) -> Fraction:
    """Computes an expression in fractions and notes every intermediate result."""
    if isinstance(node, ast.Constant):
        return Fraction(node.value)
    assert isinstance(node, ast.BinOp)
    result = OPERATORS[type(node.op)](evaluate(node.left, results), evaluate(node.right, results))
    results.append(result)
    return result


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_generated_answers_are_right(steps: int) -> None:
    examples = word_problems.task.generate(500, seed=steps, steps=(steps, steps))
    for example in examples:
        results: list[Fraction] = []
        answer = evaluate(ast.parse(example.expression, mode="eval").body, results)
        assert str(answer) == example.answer
        assert len(results) == steps == example.steps
        assert all(result.denominator == 1 and 2 <= result <= 200 for result in results)
        # The story tells the expression's numbers, each once and in the same order, and no other number.
        assert re.findall(r"\d+", example.problem) == re.findall(r"\d+", example.expression)
        assert example.problem.count("?") == 1
        assert example.problem.endswith("?")
        assert not re.search(r"[{}]|\b1 |  ", example.problem)
    assert len({example.problem for example in examples}) == 500
    assert {example.kind for example in examples} == {story.kind for story in STORIES}


def test_no_problem_is_told_twice() -> None:
    examples = word_problems.task.generate(5_000, seed=0, steps=(1, 1))
    assert len({example.problem for example in examples}) == len({example.id for example in examples}) == 5_000


def test_every_sentence_of_every_story_is_told() -> None:
    told = "\n".join(example.problem for example in word_problems.task.generate(3_000, seed=0, steps=(1, 4)))
    for story in STORIES:
        for sentence in (*story.starts, *story.changes, *story.ends):
            pattern = re.sub(r"\\\{\w+\\\}", r"[\\w-]+", re.escape(sentence.text))
            assert re.search(pattern, told), sentence.text


def test_default_is_one_or_two_steps_of_many_kinds() -> None:
    examples = word_problems.task.generate(1_000, seed=0)
    assert Counter(example.steps for example in examples).keys() == {1, 2}
    assert min(Counter(example.kind for example in examples).values()) > 30
    assert max(Counter(example.answer for example in examples).values()) < 60
    assert all(set(example.inputs().keys()) == {"problem"} for example in examples)


def test_seed_decides() -> None:
    first, again, other = (word_problems.task.generate(200, seed=seed) for seed in (1, 1, 2))
    assert [example.toDict() for example in first] == [example.toDict() for example in again]
    assert len({example.problem for example in first} & {example.problem for example in other}) <= 2
    assert [example.id for example in first[:2]] == ["words-1-0", "words-1-1"]
    assert word_problems.task.generate(5, seed=1)[4].problem == first[4].problem


@pytest.mark.parametrize("options", [{"steps": (0, 1)}, {"steps": (3, 2)}, {"steps": (1, 5)}, {"kind": "baking"}])
def test_options_that_do_not_fit_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(DataError):
        word_problems.task.generate(1, 0, **options)


def test_gsm8k_is_read(shared_data: Path, whole: bool) -> None:
    examples = word_problems.task.load(shared_data / "gsm8k" / "test.jsonl")
    assert len(examples) == (1_319 if whole else 40) == len({example.id for example in examples})
    assert (examples[0].id, examples[0].answer) == ("gsm8k-test-0", "18")
    assert all(re.fullmatch(r"-?\d+(\.\d+)?", example.answer) for example in examples)
    assert all(word_problems.quality(example, dspy.Prediction(answer=example.answer)) == 1.0 for example in examples)


def test_gsm8k_without_an_answer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"question": "1 + 1?", "answer": "#### 2"}\n{"question": "1 + 2?", "answer": "3"}\n')
    with pytest.raises(DataError, match="gsm8k-test-1: the answer has no number after '####'"):
        word_problems.task.load(path)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", "12"),
        ("12 pens", "12"),
        ("$12.", "12"),
        ("The answer is 12.", "12"),
        ("12.0", "12"),
        ("= 12", "12"),
        ("3 * 4 = 12 pens for 2 friends", "12"),
        ("3 + 4 = 7, 7 * 2 = 14", "14"),
        ("12 pens, so x = many", "12"),
        ("1,200", "1200"),
        ("-$1,234.50", "-1234.5"),
        ("−3", "-3"),
        ("10-5", None),
        ("- 12 apples", "12"),
        ("1, 2, 3", "3"),
        ("007", "7"),
        (".5", "0.5"),
        ("-0", "0"),
        (r"\boxed{12}", "12"),
        ("twelve", "12"),
        ("many", None),
        ("", None),
    ],
)
def test_numbers_are_read_out_of_answers(text: str, number: str | None) -> None:
    assert read_number(text) == number
    assert word_problems.answer_key(dspy.Prediction(answer=text)) == number
    example = dspy.Example(problem="?", answer="12")
    assert word_problems.quality(example, dspy.Prediction(answer=text)) == float(number == "12")


@pytest.mark.parametrize("answer", [12, 12.0])
def test_numbers_may_come_as_numbers(answer: float) -> None:
    assert word_problems.quality(dspy.Example(answer=12), dspy.Prediction(answer=answer)) == 1.0


@pytest.mark.parametrize(
    "prediction", [None, dspy.Prediction(), *(dspy.Prediction(answer=a) for a in (None, [12], True))]
)
def test_no_answer_scores_nothing(prediction: dspy.Prediction | None) -> None:
    assert word_problems.quality(dspy.Example(answer="12"), prediction) == 0.0
    assert word_problems.answer_key(prediction) is None


def test_as_many_problems_are_made_to_test_on_as_are_asked_for() -> None:
    plain = drawn_for_test(word_problems.task, None, None, 3, None)
    many = drawn_for_test(word_problems.task, None, None, 3, 200)
    some = drawn_for_test(word_problems.task, None, None, 3, 16)
    assert len({one.problem for one in many}) == len(many) == 200
    assert many[: len(plain)] == plain
    assert [one.id for one in some] == [one.id for one in plain[::4]]


@given(
    st.integers(-(10**12), 10**12),
    st.sampled_from(["{}", "${} each.", "so 2 + 2 = {} pens", "{:,}", "{}.00", "**{}**"]),
)
def test_canonical_form_survives_any_dress(number: int, dress: str) -> None:
    assert read_number(dress.format(number)) == str(number)


@given(st.text())
def test_any_text_gives_a_canonical_number_or_none(text: str) -> None:
    number = read_number(text)
    assert number is None or read_number(number) == number
