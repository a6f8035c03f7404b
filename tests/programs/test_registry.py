"""Tasks by name, from a file and from installed plug-ins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dspy
import pytest

from anytime_dspy.errors import DataError
from anytime_dspy.programs import get_task, task_names
from anytime_dspy.programs.task import Task

PLUG_IN = """
from __future__ import annotations
from dataclasses import dataclass
import dspy
from anytime_dspy.programs.task import Task, field_text

@dataclass(frozen=True)
class Rhyme:
    ending: str

def load(path=None, split="test"):
    return [dspy.Example(id="0", word="cat", rhyme="hat").with_inputs("word")]

def quality(example, prediction):
    return float(field_text(prediction, "rhyme").endswith(Rhyme(example.rhyme[-2:]).ending))

def answer_key(prediction):
    return field_text(prediction, "rhyme") or None

task = Task("rhymes", "1", "word -> rhyme", load=load, quality=quality, answer_key=answer_key)
"""


@pytest.fixture
def plug_in(tmp_path: Path) -> Path:
    path = tmp_path / "my_task.py"
    path.write_text(PLUG_IN)
    return path


@pytest.mark.parametrize("name", ["trip", "word_problems"])
def test_own_tasks_are_whole(name: str) -> None:
    task = get_task(name)
    assert task.name == name
    assert task.name in task_names()
    example = task.generate(1, seed=0)[0]
    program = task.program()
    (predictor,) = program.predictors()
    assert set(example.inputs().keys()) == set(predictor.signature.input_fields)
    # The gold label answers under the very field that the program fills.
    (answer,) = (field for field in predictor.signature.output_fields if field != "reasoning")
    gold = dspy.Prediction(**{answer: example[answer]})
    assert task.quality(example, gold) == 1.0
    assert task.answer_key(gold)
    assert task.program() is not program


def test_task_from_a_file(plug_in: Path) -> None:
    for name in (plug_in, str(plug_in)):
        task = get_task(name)
        (example,) = task.load()
        assert task.quality(example, dspy.Prediction(rhyme="bat")) == 1.0
        assert task.quality(example, None) == 0.0


def test_task_without_a_generator_says_so(plug_in: Path) -> None:
    with pytest.raises(DataError, match="'rhymes' cannot generate"):
        get_task(plug_in).generate(1, 0)


def install(folder: Path, target: str, *, name: str = "rhymes") -> None:
    """Makes a task known as an installed distribution would."""
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[anytime_dspy.tasks]\n{name} = {target}\n")


def test_task_from_an_installed_plug_in(plug_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(plug_in.parent)
    install(plug_in.parent, "my_task:task")
    assert task_names() == ("trip", "aime", "gpqa", "word_problems", "rhymes")
    assert isinstance(get_task("rhymes"), Task)


@pytest.mark.parametrize("target", ["my_task:missing", "my_task:load", "no_such_module:task"])
def test_broken_installed_plug_in(plug_in: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    monkeypatch.syspath_prepend(plug_in.parent)
    install(plug_in.parent, target)
    with pytest.raises(DataError):
        get_task("rhymes")


def test_unknown_name_lists_the_names() -> None:
    with pytest.raises(
        DataError, match=r"no task 'tripp': did you mean 'trip'\? there are trip, aime, gpqa, word_problems"
    ):
        get_task("tripp")
    with pytest.raises(DataError) as caught:
        get_task("chess")
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("task = 3", "no module-level `task`"),
        ("other = 3", "no module-level `task`"),
        ("def f(:\n", "does not import (SyntaxError"),
        ("import no_such_module_at_all", "does not import (ModuleNotFoundError"),
        ("raise ValueError('two\\nlines')", "does not import (ValueError: two lines)"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, source: str, complaint: str) -> None:
    path = tmp_path / "broken_task.py"
    path.write_text(source)
    with pytest.raises(DataError) as caught:
        get_task(path)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no task file"):
        get_task(tmp_path / "none.py")


def test_naming_the_tasks_loads_none_of_them() -> None:
    code = "import sys, anytime_dspy.programs as p; p.task_names(); print('anytime_dspy.programs.trip' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
