"""What the command line says of itself: help texts, and completion in a shell."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from anytime_dspy.anytime import Anytime
from anytime_dspy.cli.options import threads_for
from anytime_dspy.cli.results import show
from anytime_dspy.errors import ModelError
from anytime_dspy.programs import get_task
from anytime_dspy.programs.measurement import Measurement
from anytime_dspy.testing import chat, scripted_lm
from tests.test_cli import cli

VERBS = (
    ("demo",),
    ("sweep",),
    ("merge",),
    ("compile",),
    ("compare",),
    ("report",),
    ("run",),
    ("models",),
    ("models", "pull"),
    ("pairs",),
    ("pairs", "export"),
    ("doctor",),
)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
@pytest.mark.slow
def test_every_verb_has_an_example_and_fits_80_columns(verb, tmp_path):
    told = cli(*verb, "--help", cwd=tmp_path, COLUMNS="80", TERM="dumb")
    assert told.returncode == 0, told.stderr
    assert "Example: anytime-dspy " in told.stdout
    assert all(len(line) <= 80 for line in told.stdout.splitlines())
    assert "…" not in told.stdout, "nothing is cut off"


def completed(words: str) -> list[str]:
    """What bash is told to offer after these words."""
    # As the installed script does: completion goes by the name of the command.
    code = "import sys; sys.argv = ['anytime-dspy']; from anytime_dspy.cli.main import main; main()"
    asked = {"_ANYTIME_DSPY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **asked},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("anytime-dspy do", ["doctor"]),
        ("anytime-dspy models p", ["pull"]),
        ("anytime-dspy sweep wo", ["word_problems"]),
        ("anytime-dspy sweep trip --model smol", ["smollm2-135m-instruct"]),
        ("anytime-dspy models pull qwen2.5-coder-0", ["qwen2.5-coder-0.5b-instruct"]),
        ("anytime-dspy compile trip --tri", ["--trials"]),
    ],
)
@pytest.mark.slow
def test_a_shell_completes_verbs_options_tasks_and_models(words, offered):
    assert completed(words) == offered


@pytest.mark.slow
def test_the_completion_script_can_be_seen_before_it_is_installed(tmp_path):
    shown = cli("--show-completion", "bash", cwd=tmp_path, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert shown.returncode == 0, shown.stderr
    assert "complete -o default" in shown.stdout


def test_without_matplotlib_a_sweep_names_the_extra_in_full(tmp_path, monkeypatch, capsys):
    """Square brackets are markup to rich: of pip install 'anytime-dspy[plot]' it once showed no extra."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    task = get_task("word_problems")
    lm = scripted_lm(lambda _: chat(reasoning="so it is", answer="7"))
    folder = tmp_path / "run [1]"
    program = Anytime(task.program(), (4, 8), answer_tokens=16)
    measured = Measurement(task, task.generate(2, 0), lm, threads=1, seed=0).of("plain", program, folder)
    show([measured], [], folder, title="words [a test]", as_json=False)
    shown = capsys.readouterr().out
    assert "pip install 'anytime-dspy[plot]'" in shown
    assert f"report {folder}" in shown
    assert "words [a test]" in shown


def test_without_an_engine_no_model_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("ANYTIME_DSPY_HOME", str(tmp_path))
    monkeypatch.setattr("anytime_dspy.lms.find_spec", lambda name: None)
    monkeypatch.setattr("anytime_dspy.local.openvino_server.is_available", lambda: False)
    with pytest.raises(ModelError, match=r"pip install 'anytime-dspy\[local\]', or name a provider's model"):
        threads_for("qwen2.5-coder-0.5b-instruct")
    assert not any(tmp_path.iterdir())
