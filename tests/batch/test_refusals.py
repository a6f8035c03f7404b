"""What has no batch is refused before anything is sent."""

from __future__ import annotations

import time

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.batch import sweep_batch
from anytime_dspy.errors import AnytimeError, DataError, ModelError, ProgramError, RunError
from anytime_dspy.storage.run_folder import RunStore
from tests.batch.sweeps import MARKS, METRIC, examples, program, swept, using
from tests.fakes.command_line import assert_refused, cli
from tests.fakes.programs import Pipeline

pytestmark = MARKS


def test_a_model_that_hides_its_thinking_is_refused_before_anything_is_sent(server, tmp_path):
    with using(server.url, model="openai/gpt-5"), pytest.raises(ModelError, match="contract"):
        sweep_batch(program(), examples(2), METRIC, store=RunStore.open(tmp_path, {}))
    assert server.calls == []


class Twice(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.ChainOfThought("question -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        self.answer(question=question)
        return self.answer(question=f"again: {question}")


class Restless(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.ChainOfThought("question, at -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        return self.answer(question=question, at=str(time.perf_counter_ns()))


def look_up(key: str) -> str:
    """Looks a key up."""
    return key


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        (Pipeline(), "one predictor"),
        (dspy.ReAct("question -> answer", tools=[look_up]), "one predictor"),
        (dspy.Predict("question, tools: list[dspy.Tool] -> calls: dspy.ToolCalls"), "tools"),
        (Twice(), "more than once"),
        (Restless(), "something else each time"),
    ],
    ids=["several predictors", "an agent", "tools", "two calls", "a clock in the prompt"],
)
def test_a_program_that_no_two_jobs_can_run_is_refused_before_anything_is_sent(server, tmp_path, subject, said):
    with using(server.url), pytest.raises(ProgramError, match=said):
        sweep_batch(ad.Anytime(subject, budgets=(8, 16)), examples(2), METRIC, store=RunStore.open(tmp_path, {}))
    assert server.calls == []
    assert server.received == []


def test_early_stopping_budgets_of_other_kinds_and_streams_are_refused(server, tmp_path):
    store = RunStore.open(tmp_path, {})
    with using(server.url):
        with pytest.raises(ProgramError, match="stop="):
            sweep_batch(program(stop=ad.Converged()), examples(2), METRIC, store=store)
        with pytest.raises(ProgramError, match="tokens alone"), ad.budget(ad.Budget(seconds=60)):
            sweep_batch(program(), examples(2), METRIC, store=store)
        with pytest.raises(ProgramError, match="stream"), dspy.context(send_stream=object()):
            sweep_batch(program(), examples(2), METRIC, store=store)
        with pytest.raises(DataError, match="same id"):
            sweep_batch(program(), examples(1) * 2, METRIC, store=store)
    with pytest.raises(ModelError, match="openai/"), using(server.url, model="groq/llama-3.3-70b-versatile"):
        sweep_batch(program(), examples(2), METRIC, store=store)
    assert server.calls == []


def test_an_allowance_too_small_for_an_answer_is_refused_before_anything_is_sent(server, tmp_path):
    subject = ad.Anytime(dspy.ChainOfThought("question -> answer"), budgets=(8,), answer_tokens=2)
    with using(server.url), pytest.raises(AnytimeError, match="answer_tokens"):
        sweep_batch(subject, examples(2), METRIC, store=RunStore.open(tmp_path, {}))
    assert server.calls == []


def test_a_proxy_between_a_process_and_itself_is_named(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "example.org")
    with pytest.raises(RunError, match="NO_PROXY"):
        swept(server.url, tmp_path, 2)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["word_problems", "--batch"], ["qwen2.5-coder-0.5b-instruct", "openai/"]),
        (["gpqa", "--batch", "--model", "openai/gpt-4.1"], ["gpqa", "--show-gpqa"]),
        (["word_problems", "--batch", "--ray", "auto", "--model", "openai/gpt-4.1"], ["--ray"]),
    ],
)
def test_the_command_line_refuses_what_has_no_batch(arguments, said, tmp_path):
    assert_refused(cli("sweep", *arguments, cwd=tmp_path), *said)
