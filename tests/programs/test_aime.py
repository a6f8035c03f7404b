"""AIME: the integer that is meant, on real gold answers and on whatever models write around one."""

from __future__ import annotations

import json
from pathlib import Path

import dspy
import pytest

from anytime_dspy.errors import DataError
from anytime_dspy.programs import aime


def scored(example: dspy.Example, answer: object) -> float:
    return aime.quality(example, dspy.Prediction(answer=str(answer)))


@pytest.fixture(scope="module")
def examples(shared_data: Path) -> list[dspy.Example]:
    return aime.task.load(shared_data / "aime" / "aime24_test.jsonl")


def test_all_gold_answers_score_one_and_their_neighbours_zero(examples: list[dspy.Example], whole: bool) -> None:
    count = 30 if whole else 12
    assert len(examples) == count == len({example.id for example in examples})
    assert [scored(example, example.answer) for example in examples] == [1.0] * count
    for off in (-1, 1):
        assert [scored(example, int(example.answer) + off) for example in examples] == [0.0] * count


def test_what_models_write_around_the_gold_answer_does_not_matter(examples: list[dspy.Example]) -> None:
    forms = (
        "{:03d}",
        r"$\boxed{{{:d}}}$",
        "**Answer:** {}",
        "So $m+n = {}$.",
        "The answer is {} since 1/2 < 3.",
        "{}.0",
    )
    for form in forms:
        assert all(scored(example, form.format(int(example.answer))) == 1.0 for example in examples)


def test_problems_end_where_the_competition_ended_them(examples: list[dspy.Example]) -> None:
    assert not any("step by step" in example.problem or "boxed" in example.problem for example in examples)
    assert all(set(example.inputs().keys()) == {"problem"} for example in examples)


@pytest.mark.parametrize(
    ("text", "integer"),
    [
        ("042", "42"),
        ("000", "0"),
        ("999", "999"),
        ("$204$", "204"),
        ("204.", "204"),
        ("#### 204", "204"),
        (r"\(204\)", "204"),
        (r"336^\circ", "336"),
        (r"336^{\circ}", "336"),
        (r"\boxed{\text{204}}", "204"),
        (r"first \boxed{1} then \boxed{2}", "2"),
        (r"\boxed{m+n = 113}", "113"),
        ("m/n = 25/8, so m+n = 33", "33"),
        ("The answer is 204, since 200 + 4 is 204 > 100", "204"),
        ("**Final Answer:**\n\n204", "204"),
        ("the answer to the problem is 17 minutes", "17"),
        ("The answer is (B) 42", "42"),
        ("We have 204 minutes", "204"),
        ("The answer is 42. That is our answer.", "42"),
    ],
)
def test_integers_that_are_meant(text: str, integer: str) -> None:
    assert aime.read_integer(text) == integer


@pytest.mark.parametrize(
    "text",
    [
        *("", "no", r"\boxed{}", "The answer is not clear", "١٢"),
        *("-7", "−7", "$-7$", "answer: -12", r"\boxed{-5}"),
        *("3/4", r"\frac{25}{8}", r"\dfrac12", r"The answer is $\boxed{\frac{1}{2}}$", "2.5", "1e3"),
        *(r"5\sqrt{2}", r"\sqrt{50}", r"3\pi", "2^{10}", "2^5", "7!"),
        *("1000", "1024", "1,024", "1{,}000", "9" * 5000),
    ],
)
def test_texts_that_give_no_answer(text: str) -> None:
    assert aime.read_integer(text) is None
    assert aime.quality(dspy.Example(answer="7"), dspy.Prediction(answer=text)) == 0.0


def test_a_missing_answer_scores_zero() -> None:
    assert aime.quality(dspy.Example(answer="7"), None) == 0.0
    assert aime.answer_key(dspy.Prediction(reasoning="7")) is None


def test_csv_and_other_names_of_the_columns(tmp_path: Path) -> None:
    table = tmp_path / "aime.csv"
    table.write_text('ID,Problem,Answer\n1,"What is 1 + 1,\nor two?",002\n2,What is 9?,9\n')
    first, second = aime.load(table)
    assert (first.problem, first.answer, second.answer) == ("What is 1 + 1,\nor two?", "2", "9")
    lines = tmp_path / "aime.jsonl"
    lines.write_text(json.dumps({"question": "What is 9?", "answer": 9}))
    (again,) = aime.load(lines)
    assert (again.id, again.answer) == (second.id, "9"), "an example keeps its id in any file"


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "aime.csv"
    for content, complaint in (
        ("problem,answer\nWhat?,1/2\n", "no integer from 0 to 999"),
        ("problem\nWhat?\n", "'answer' is missing"),
        ('problem,answer\n"What?,1\n', "not whole CSV"),
    ):
        path.write_text(content)
        with pytest.raises(DataError, match=complaint):
            aime.load(path)


@pytest.mark.parametrize(("split", "dataset"), [("test", "2024"), ("2024", "2024"), ("2025", "2025")])
def test_years_are_splits_and_an_unreachable_hub_says_what_to_do(split: str, dataset: str) -> None:
    with pytest.raises(DataError, match=rf"aime_{dataset} .* --data PATH"):
        aime.load(split=split)
    with pytest.raises(DataError, match="no split '1999': there are 2024, 2025"):
        aime.load(split="1999")


def test_a_hub_set_is_read_by_its_year(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(name: str, configuration: str, split: str) -> list[dict[str, object]]:
        asked.append((name, configuration, split))
        return [{"problem_idx": 1, "problem": "What is 6 * 7?", "answer": 42, "problem_type": ["Number Theory"]}]

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    (example,) = aime.load(split="2025")
    assert (example.problem, example.answer) == ("What is 6 * 7?", "42")
    aime.load()
    assert asked == [("MathArena/aime_2025", "default", "train"), ("HuggingFaceH4/aime_2024", "default", "train")]
