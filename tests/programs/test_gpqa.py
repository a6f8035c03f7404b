"""GPQA from the official zip: every question, every order of its options, and no text where it should not be."""

from __future__ import annotations

import csv
import html
import io
import logging
import subprocess
import zipfile
from itertools import permutations
from pathlib import Path

import dspy
import pytest
from dspy.lm15 import ServerError

from anytime_dspy.anytime import Anytime
from anytime_dspy.cli.results import show
from anytime_dspy.cli.show import present
from anytime_dspy.errors import DataError
from anytime_dspy.programs import gpqa
from anytime_dspy.programs.measurement import Measurement
from anytime_dspy.programs.registry import chosen_task
from anytime_dspy.testing import chat, question_of, scripted_lm

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def official_zip(shared_data: Path) -> Path:
    return shared_data / "gpqa" / "dataset.zip"


@pytest.fixture(scope="module")
def diamond(official_zip: Path) -> list[dspy.Example]:
    return gpqa.load(official_zip)


@pytest.fixture(scope="module")
def records(official_zip: Path) -> list[gpqa.GpqaRecord]:
    with zipfile.ZipFile(official_zip) as archive:
        table = archive.read("dataset/gpqa_diamond.csv", pwd=gpqa.PASSWORD).decode("utf-8-sig")
    return [gpqa.GpqaRecord.model_validate(row) for row in csv.DictReader(io.StringIO(table, newline=""))]


def scored(example: dspy.Example, answer: str) -> float:
    return gpqa.quality(example, dspy.Prediction(answer=answer))


def test_the_official_zip_holds_what_the_paper_says(
    official_zip: Path, diamond: list[dspy.Example], whole: bool
) -> None:
    assert len(diamond) == (198 if whole else 19) == len({example.id for example in diamond})
    sizes = [len(gpqa.load(official_zip, split)) for split in ("main", "extended")]
    assert sizes == ([448, 546] if whole else [29, 34])
    train = {example.id for example in gpqa.load(official_zip, "train")}
    assert len(train) == (250 if whole else 10)
    assert not train & {example.id for example in diamond}
    assert all(set(example.inputs().keys()) == {"question", "options"} for example in diamond)


def test_the_gold_letter_scores_one_under_every_order(records: list[gpqa.GpqaRecord], whole: bool) -> None:
    assert len(records) == (198 if whole else 19)
    for record in records:
        for order in permutations(range(4)):
            example = gpqa.with_options(record, order)
            assert [scored(example, letter) for letter in "ABCD"] == [float(place == 0) for place in order]
            assert f"{example.answer}) {record.correct}" in example.options


def test_the_order_follows_from_the_id_and_favours_no_letter(
    official_zip: Path, diamond: list[dspy.Example], whole: bool
) -> None:
    assert [example.options for example in gpqa.load(official_zip)] == [example.options for example in diamond]
    counts = {letter: sum(example.answer == letter for example in diamond) for letter in "ABCD"}
    least, most = (30, 70) if whole else (1, 8)
    assert all(least <= count <= most for count in counts.values()), counts


def test_an_option_that_stands_there_twice_is_right_twice() -> None:
    texts = {"Correct Answer": " 5 ", "Incorrect Answer 1": "6", "Incorrect Answer 2": "7", "Incorrect Answer 3": "5"}
    record = gpqa.GpqaRecord.model_validate({"Record ID": "made-up", "Question": "How many?", **texts})
    example = gpqa.with_options(record, (3, 1, 0, 2))
    assert example.options == "A) 5\nB) 6\nC) 5\nD) 7"
    assert [scored(example, letter) for letter in "ABCD"] == [1.0, 0.0, 1.0, 0.0]


def test_the_hub_set_reads_as_the_zip_does(
    official_zip: Path, diamond: list[dspy.Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_dataset(name: str, configuration: str, split: str) -> list[dict[str, str]]:
        assert (name, split) == ("Idavidrein/gpqa", "train")
        with zipfile.ZipFile(official_zip) as archive:
            table = archive.read(f"dataset/{configuration}.csv", pwd=gpqa.PASSWORD).decode("utf-8-sig")
        return list(csv.DictReader(io.StringIO(table, newline="")))

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    assert [example.toDict() for example in gpqa.load()] == [example.toDict() for example in diamond]


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        *((form, "B") for form in ("B", "b", "(B)", "(b)", "B)", "**B**", "B.", "[B]", "`B`", '"B"', "{B}")),
        *((form, "B") for form in ("Answer: B", "Answer:\nB", "**Answer:** B", "answer B", "option b", "Choice (B)")),
        *((form, "B") for form in (r"\boxed{B}", r"$\boxed{(B)}$", r"\boxed{\text{B}}", r"is \boxed{\mathrm{B}}.")),
        *((form, "B") for form in ("B because it is", "B is correct", "B - it is", "B, since A is impossible")),
        ("C) 10^-4 eV", "C"),
        ("D: d orbital", "D"),
        ("The correct answer is (C).", "C"),
        ("The answer is option (D)", "D"),
        ("The answer is A because", "A"),
        ("choice (a) is wrong, choice (b) right", "B"),
        ("Therefore, B", "B"),
    ],
)
def test_letters_that_are_meant(text: str, letter: str) -> None:
    assert gpqa.read_letter(text) == letter


@pytest.mark.parametrize(
    "text", ["", "E", "A photon", "a photon", "The answer is a photon", "vitamin C", "ABCD", "A's charge", "10 eV"]
)
def test_texts_that_give_no_letter(text: str) -> None:
    assert gpqa.read_letter(text) is None
    assert scored(dspy.Example(right="ABCD"), text) == 0.0


def test_other_files_and_the_gated_hub_say_how_to_get_in(tmp_path: Path) -> None:
    other = tmp_path / "dataset.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme.txt", "nothing")
    for path, split in ((other, "test"), (None, "test")):
        with pytest.raises(DataError, match=r"accept its terms .* --data dataset\.zip") as caught:
            gpqa.load(path, split)
        assert "\n" not in str(caught.value)
    other.write_bytes(b"no zip")
    with pytest.raises(DataError, match="not GPQA's official zip"):
        gpqa.load(other)
    with pytest.raises(DataError, match="no split 'silver'"):
        gpqa.load(other, "silver")


def test_a_truncated_zip_is_refused(official_zip: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.zip"
    half.write_bytes(official_zip.read_bytes()[: official_zip.stat().st_size // 2])
    with pytest.raises(DataError, match="not GPQA's official zip"):
        gpqa.load(half)


def passages(example: dspy.Example) -> list[str]:
    """What would give a question away: its words and those of its longer options, eight at a time."""
    words = f"{example.question} {example.options}".split()
    return [" ".join(words[start : start + 8]) for start in range(len(words) - 7)]


def texts_in(folder: Path, examples: list[dspy.Example]) -> list[str]:
    written = " ".join(
        " ".join(html.unescape(path.read_text(errors="replace")).replace("\\n", " ").split())
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".png"
    )
    return [passage for example in examples for passage in passages(example) if passage in written]


def run(folder: Path, examples: list[dspy.Example], *, show_texts: bool) -> None:
    """A sweep whose model repeats all that it is shown, in its reasoning and in its answer, and once fails to."""

    def reply(request):
        shown = " ".join(question_of(request).split()).replace("[[", "").replace("]]", "")
        if examples[0].question[:40] in question_of(request):
            raise ServerError(shown)
        return chat(reasoning=shown, answer=f"Answer: B, for {shown}")

    task = chosen_task("gpqa", show_texts=show_texts)
    program = Anytime(task.program(), (10_000, 20_000), answer_tokens=10_000)
    measured = Measurement(task, examples, scripted_lm(reply), threads=2, seed=0).of("plain", program, folder)
    show([measured], [], folder, title="gpqa", as_json=True)
    present([folder], [folder / "report.html", folder / "report.csv"], target=None, seed=0, as_json=False)


@pytest.mark.slow
def test_a_run_keeps_letters_and_scores_but_no_text(
    diamond: list[dspy.Example],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    examples = diamond[:6]
    with caplog.at_level(logging.DEBUG):
        run(tmp_path / "private", examples, show_texts=False)
    assert texts_in(tmp_path / "private", examples) == []
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / "log.txt").write_text(f"{caplog.text}\n{capfd.readouterr()}")
    assert texts_in(tmp_path / "seen", examples) == []
    results = (tmp_path / "private" / "results.jsonl").read_text()
    assert results.count('"answer": "B"') + results.count('"answer":"B"') == 10
    assert all(example.id in results for example in examples)
    assert examples[1].id in (tmp_path / "private" / "report.html").read_text()

    run(tmp_path / "shown", examples, show_texts=True)
    assert len(texts_in(tmp_path / "shown", examples)) > 100, "the search above finds a text where there is one"


def test_compiling_asks_first() -> None:
    with pytest.raises(DataError, match="--show-gpqa"):
        chosen_task("gpqa", show_texts=False, copies_texts=True)
    assert not chosen_task("gpqa", show_texts=True, copies_texts=True).private


def test_no_file_of_the_project_holds_a_question(official_zip: Path) -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False).stdout
    if not listed:
        pytest.skip("not in a checkout")
    files = [REPOSITORY / name for name in listed.splitlines()]
    text = " ".join(" ".join(file.read_text(errors="replace").split()) for file in files if file.is_file())
    for example in gpqa.load(official_zip, "extended"):
        assert " ".join(example.question.split())[:60] not in text, example.id
