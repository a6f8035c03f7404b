"""The command line at a server that refuses what it would send."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anytime_dspy.cli.options import open_lm
from anytime_dspy.errors import ModelError
from anytime_dspy.testing import chat
from tests.fakes import refusing as opinions
from tests.fakes.command_line import assert_refused, cli
from tests.fakes.http_server import ChatServer, Received, Reply
from tests.fakes.refusing import refusing

TASK = """
import dspy
from anytime_dspy.programs.task import Task, field_text

def load(path=None, split="test"):
    return [dspy.Example(id=str(n), word=f"word {n}", rhyme="hat").with_inputs("word") for n in range(3)]

def quality(example, prediction):
    return float(field_text(prediction, "rhyme") == example.rhyme)

def answer_key(prediction):
    return field_text(prediction, "rhyme") or None

task = Task("rhymes", "1", "word -> rhyme", load=load, quality=quality, answer_key=answer_key, budgets=(2, 64),
            answer_tokens=12)
"""


def rhyming(received: Received) -> Reply:
    if "starting with the field `[[ ## reasoning ## ]]`" in received.prompt:
        return Reply(chat(reasoning=" ".join(["so"] * 40), rhyme="hat"))
    return Reply(chat(rhyme="hat"))


@pytest.mark.parametrize("model", ["o4-mini", "gpt-4.1"])
@pytest.mark.slow
def test_a_sweep_at_a_model_that_refuses_what_is_sent_ends_with_answers(model, tmp_path):
    (tmp_path / "my_task.py").write_text(TASK)
    script = refusing(rhyming, opinions.temperature, opinions.short_caps, opinions.stop, opinions.prefill)
    with ChatServer(script) as server:
        key = {"OPENAI_API_KEY": "none", "OPENAI_API_BASE": server.url}
        arguments = ("sweep", "my_task.py", "--model", f"openai/{model}", "--out", "run", "--json")
        done = cli(*arguments, cwd=tmp_path, **key)
        assert done.returncode == 0, done.stderr
        asked = len(server.received)
        again = cli(*arguments, cwd=tmp_path, **key)
        assert (again.returncode, len(server.received)) == (0, asked), "it is the same run: nothing is paid for twice"
    measured = json.loads(done.stdout)["programs"]["plain"]
    assert measured["n"] == 3
    assert measured["final"] == 1.0
    notes = [line for line in done.stderr.splitlines() if line.startswith("Note: ")]
    assert len(notes) == 2, done.stderr  # one of temperature, one of caps
    assert any("temperature=0.0" in note for note in notes)
    assert any("no cap under 16" in note for note in notes)
    answered = [received for received in server.received if received.billed]
    assert all("temperature" not in received.body and received.cap >= 16 for received in answered)


@pytest.mark.slow
def test_options_of_the_model_reach_it_and_are_part_of_the_run(tmp_path):
    (tmp_path / "my_task.py").write_text(TASK)
    with ChatServer(rhyming) as server:
        key = {"OPENAI_API_KEY": "none", "OPENAI_API_BASE": server.url}
        arguments = ("sweep", "my_task.py", "--model", "openai/gpt-5-mini", "--out", "run", "--temperature", 1)
        done = cli(*arguments, "--reasoning-effort", "low", cwd=tmp_path, **key)
        assert done.returncode == 0, done.stderr
        assert_refused(cli(*arguments, cwd=tmp_path, **key), "reasoning effort")
    first = server.received[0].body
    assert (first["temperature"], first["reasoning_effort"]) == (1, "low")


def test_options_that_a_model_cannot_take_are_one_line(tmp_path):
    with pytest.raises(ModelError, match=r"openai/o3 takes no temperature but 1.*--temperature=0.7"):
        open_lm("openai/o3", threads=1, temperature=0.7)
    with pytest.raises(ModelError, match="embedded"):
        open_lm("smollm2-135m-instruct", threads=1, reasoning_effort="low")
    assert open_lm("openai/o3", threads=1, reasoning_effort="low").kwargs["reasoning_effort"] == "low"
    assert open_lm("openai/o3", threads=1, temperature=1.0).kwargs["temperature"] == 1.0
    assert open_lm("openai/gpt-4.1", threads=1).kwargs["temperature"] == 0.0


@pytest.mark.parametrize("verb", ["sweep", "compile", "demo", "run"])
def test_every_verb_that_takes_a_model_takes_its_options(verb, tmp_path: Path):
    told = cli(verb, "--help", cwd=tmp_path, COLUMNS="200").stdout
    assert "--temperature" in told
    assert "--reasoning-effort" in told


@pytest.mark.slow
def test_a_compile_on_a_database_that_cannot_be_used_pays_for_nothing(tmp_path: Path):
    with ChatServer(rhyming) as server:
        key = {"OPENAI_API_KEY": "none", "OPENAI_API_BASE": server.url}
        arguments = ("compile", "word_problems", "--model", "openai/gpt-4.1", "--limit", 4, "--out", "run")
        done = cli(*arguments, "--storage", "sqlite:////nowhere/at/all", cwd=tmp_path, **key)
        assert_refused(done, "the database sqlite:////nowhere/at/all cannot be used: unable to open database file")
        assert not server.received


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (("--judge", "metrik"), "no judge 'metrik'"),
        (("--trials", "1"), "trials must be 0, or at least 2"),
        (("--trials", "0", "--samples", "1"), "samples must be at least 2"),
    ],
)
def test_a_compile_option_that_cannot_be_used_pays_for_nothing_and_takes_no_folder(wrong, complaint, tmp_path: Path):
    with ChatServer(rhyming) as server:
        key = {"OPENAI_API_KEY": "none", "OPENAI_API_BASE": server.url}
        arguments = ("compile", "word_problems", "--model", "openai/gpt-4.1", "--limit", 4, "--out", "run")
        assert_refused(cli(*arguments, *wrong, cwd=tmp_path, **key), complaint)
        assert not server.received
    assert not (tmp_path / "run").exists()
