"""Sweeps by batch jobs, at a server on loopback that speaks OpenAI's files and batches API, with faults."""

from __future__ import annotations

import gc
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.batch import sweep_batch
from anytime_dspy.errors import AnytimeError, DataError, ModelError, ProgramError, RunError
from anytime_dspy.measure import sweep
from anytime_dspy.storage.merging import merge
from anytime_dspy.storage.results import ExampleResult
from anytime_dspy.storage.run_folder import RunStore
from anytime_dspy.storage.shards import Shard
from anytime_dspy.testing import chat, words
from tests.batch_that_is_killed import FINGERPRINT, examples, lm_at, program, quality, solver, swept
from tests.fakes.batch_server import BatchServer
from tests.fakes.command_line import assert_refused, cli
from tests.fakes.http_server import Fault, Received, Reply
from tests.fakes.numbered import timeless
from tests.fakes.programs import Pipeline

pytestmark = [
    pytest.mark.usefixtures("litellm_loop"),
    pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning"),  # pydantic says this of a type of litellm's
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]

COUNT = 12
METRIC = ad.AnytimeIndex(quality)


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer(solver) as server:
        yield server
    gc.collect()  # litellm makes a client for each call of the files and batches API, and closes none


@contextmanager
def using(url: str, **options: object) -> Iterator[dspy.LM]:
    lm = lm_at(url, **options)
    try:
        with dspy.context(lm=lm):
            yield lm
    finally:
        lm.close()


def live(url: str, folder: Path, subject: ad.Anytime | None = None, **options: object) -> list[ExampleResult]:
    with using(url, **options):
        return sweep(subject or program(), examples(COUNT), METRIC, store=RunStore.open(folder, FINGERPRINT), threads=4)


def kept(folder: Path) -> list[ExampleResult]:
    return timeless(sorted(RunStore.read(folder).results(), key=lambda result: int(result.id)))


def test_two_jobs_give_what_a_live_sweep_gives(server, tmp_path):
    expected = live(server.url, tmp_path / "live")
    billed, calls = server.billed, len(server.received)
    jobs = []
    results = swept(server.url, tmp_path / "batch", COUNT, on_job=jobs.append)
    assert timeless(results) == timeless(expected)
    assert kept(tmp_path / "batch") == kept(tmp_path / "live")
    assert results[0].points[-1].usage.dollars > 0
    assert len(server.jobs) == 2
    traces, forced = server.inputs
    assert len(traces) == COUNT
    assert all("partial_reasoning" not in json.dumps(line) for line in traces)
    assert forced
    assert all("partial_reasoning" in json.dumps(line) for line in forced)
    # To the token, each request once.
    assert len(server.received) == 2 * calls == 2 * (len(traces) + len(forced))
    assert server.billed == 2 * billed
    assert [job.status for job in jobs if job.number == 1] == ["uploaded", "submitted", "in_progress", "completed"]


def test_the_same_command_again_asks_for_nothing(server, tmp_path):
    first = swept(server.url, tmp_path, COUNT)
    calls = len(server.calls)
    assert swept(server.url, tmp_path, COUNT) == first
    assert len(server.calls) == calls
    # More examples are two jobs of their own.
    assert len(swept(server.url, tmp_path, COUNT + 3)) == COUNT + 3
    assert [len(lines) for lines in server.inputs[::2]] == [COUNT, 3]


def test_shards_by_batch_merged_are_the_live_run(server, tmp_path):
    expected = live(server.url, tmp_path / "live")
    data = examples(COUNT)
    shards = []
    for index in (1, 2):
        shard = Shard(index, 2).of([str(example.id) for example in data])
        store = RunStore.open(tmp_path / f"shard-{index}", FINGERPRINT, shard)
        with using(server.url):
            results = sweep_batch(program(), data, METRIC, store=store, poll_seconds=0.01)
            assert [result.id for result in results] == [str(n) for n in range(COUNT) if shard.takes(str(n))]
            with pytest.raises(DataError, match="give all examples of the same data"):
                sweep_batch(program(), data[1:], METRIC, store=store)
        shards.append(store.path)
    traces = [line for lines in server.inputs[::2] for line in lines]
    assert len(traces) == COUNT, "each example is in one shard's jobs"
    merge(tmp_path / "merged", shards)
    assert timeless(RunStore.read(tmp_path / "merged").results()) == timeless(expected)


def failing_at(number: int, fault: Fault | str, times: int) -> Callable[[dict, int], Fault | str | None]:
    return lambda body, tries: fault if tries < times and f"question {number}?" in json.dumps(body) else None


@pytest.mark.parametrize("fault", [Fault(500), Fault(429), "expired"], ids=["500", "429", "expired"])
def test_what_fails_in_a_job_is_put_into_the_next(server, tmp_path, fault):
    expected = live(server.url, tmp_path / "live")
    server.failing = failing_at(7, fault, 1)
    results = swept(server.url, tmp_path / "batch", COUNT)
    assert timeless(results) == timeless(expected)
    # The trace is made again beside the forced answers of the others; then come its own, and these once more.
    assert len(server.jobs) == 4
    sent = Counter(json.dumps(line["body"]) for lines in server.inputs for line in lines)
    assert {times for body, times in sent.items() if "question 7?" not in body} == {1}
    assert {times for body, times in sent.items() if "question 7?" in body} == {2}


def test_a_job_that_expires_as_a_whole_is_made_again(server, tmp_path):
    expected = live(server.url, tmp_path / "live")
    server.failing = lambda body, tries: "expired" if tries == 0 else None
    assert timeless(swept(server.url, tmp_path / "batch", COUNT)) == timeless(expected)
    assert [job.status for job in server.jobs] == ["expired", "completed", "expired", "completed"]


def test_what_fails_three_times_is_the_examples_error_and_is_tried_again_by_the_next_sweep(server, tmp_path):
    server.failing = failing_at(7, "expired", 3)
    results = swept(server.url, tmp_path, COUNT)
    assert [result.id for result in results if result.error] == ["7"]
    assert "could not be executed in time" in results[7].error
    assert all(result.points for result in results if result.id != "7")
    server.failing = lambda body, tries: None
    assert all(not result.error for result in swept(server.url, tmp_path, COUNT))


def test_what_a_request_is_refused_for_is_its_examples_error_at_once(server, tmp_path):
    refusal = Fault(400, json.dumps({"error": {"message": "this is against our policy"}}))
    server.failing = failing_at(7, refusal, 99)
    results = swept(server.url, tmp_path, COUNT)
    assert "against our policy" in results[7].error
    assert len(server.jobs) == 2


def test_what_a_model_refuses_is_left_out_as_in_a_live_sweep(server, tmp_path):
    refusal = Fault(400, json.dumps({"error": {"message": "Unsupported value: 'temperature' does not support 0.3"}}))
    server.failing = lambda body, tries: refusal if "temperature" in body else None
    with using(server.url, temperature=0.3):
        results = sweep_batch(
            program(),
            examples(COUNT),
            METRIC,
            store=RunStore.open(tmp_path, FINGERPRINT),
            poll_seconds=0.01,
        )
    assert all(result.points for result in results)


@pytest.mark.parametrize("call", [("POST", "/files"), ("POST", "/batches"), ("GET", "/batches/batch_1")])
@pytest.mark.parametrize("fault", [Fault(429), Fault(500), Fault(drop=True)], ids=["429", "500", "dropped"])
def test_a_limit_or_an_error_at_a_call_of_the_api_is_waited_out(server, tmp_path, call, fault):
    server.faults[call] = [fault] * 4
    assert all(result.points for result in swept(server.url, tmp_path, COUNT))
    assert len(server.jobs) == 2


def test_a_job_whose_creation_was_not_heard_of_is_found_and_not_created_twice(server, tmp_path):
    server.silent["POST", "/batches"] = [Fault(502)]
    assert all(result.points for result in swept(server.url, tmp_path, COUNT))
    assert len(server.jobs) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "at",
    [("POST", "/batches"), ("GET", "/batches/batch_1"), ("GET", "/files/file-4/content")],
    ids=["before the id is heard of", "between submission and poll", "at the second job's replies"],
)
def test_a_killed_process_finds_its_jobs_again_and_pays_nothing_twice(server, tmp_path, at):
    expected = live(server.url, tmp_path / "live")
    billed = server.billed
    server.silent[at] = [Fault(stall=60)]
    folder = tmp_path / "batch"
    command = [sys.executable, "-m", "tests.batch_that_is_killed", server.url, str(folder), str(COUNT)]
    process = subprocess.Popen(command)
    while at not in server.calls:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert not (folder / "results.jsonl").exists()
    results = swept(server.url, folder, COUNT)
    assert timeless(results) == timeless(expected)
    assert len(server.jobs) == 2
    assert server.billed == 2 * billed


@pytest.mark.slow
def test_a_job_that_was_uploaded_and_never_created_is_made_again(server, tmp_path):
    server.faults["POST", "/batches"] = [Fault(stall=60)]
    command = [sys.executable, "-m", "tests.batch_that_is_killed", server.url, str(tmp_path), str(COUNT)]
    process = subprocess.Popen(command)
    while ("POST", "/batches") not in server.calls:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert server.jobs == []
    assert all(result.points for result in swept(server.url, tmp_path, COUNT))
    assert len(server.jobs) == 2


def test_a_rejected_file_is_one_error_and_costs_nothing(server, tmp_path):
    server.rejects = "Line 1: the model is not for batches"
    with pytest.raises(ModelError, match="the model is not for batches"):
        swept(server.url, tmp_path, COUNT)
    assert server.billed == 0
    server.rejects = None
    assert all(result.points for result in swept(server.url, tmp_path, COUNT))


def test_a_job_that_was_cancelled_is_not_made_again_unasked(server, tmp_path):
    server.cancels = True
    with pytest.raises(ModelError, match="cancelled"):
        swept(server.url, tmp_path, COUNT)
    assert len(server.jobs) == 1
    server.cancels = False
    assert all(result.points for result in swept(server.url, tmp_path, COUNT))
    assert len(server.jobs) == 3


def test_a_model_that_hides_its_thinking_is_refused_before_anything_is_sent(server, tmp_path):
    with using(server.url, model="openai/gpt-5"), pytest.raises(ModelError, match="contract"):
        sweep_batch(program(), examples(2), METRIC, store=RunStore.open(tmp_path, {}))
    assert server.calls == []


def test_a_refused_key_is_one_error(server, tmp_path):
    server.faults["POST", "/files"] = [Fault(401, json.dumps({"error": {"message": "no such key"}}))]
    with pytest.raises(ModelError, match="no such key"):
        swept(server.url, tmp_path, COUNT)


def test_contract_mode_is_two_jobs_too(server, tmp_path):
    subject = program(mode="contract")
    expected = live(server.url, tmp_path / "live", subject)
    with using(server.url):
        results = sweep_batch(
            subject, examples(COUNT), METRIC, store=RunStore.open(tmp_path / "b", FINGERPRINT), poll_seconds=0.01
        )
    assert timeless(results) == timeless(expected)
    assert len(server.jobs) == 2


def test_litellms_engine_makes_the_same_requests_in_a_batch_as_live(server, tmp_path):
    expected = live(server.url, tmp_path / "live", engine="litellm")
    sent = {json.dumps(received.body, sort_keys=True) for received in server.received}
    with using(server.url, engine="litellm"):
        results = sweep_batch(
            program(), examples(COUNT), METRIC, store=RunStore.open(tmp_path / "b", FINGERPRINT), poll_seconds=0.01
        )
    assert timeless(results) == timeless(expected)
    assert {json.dumps(line["body"], sort_keys=True) for lines in server.inputs for line in lines} == sent


def test_the_responses_api_has_batches_too(server, tmp_path):
    expected = live(server.url, tmp_path / "live", model_type="responses")
    with using(server.url, model_type="responses"):
        results = sweep_batch(
            program(), examples(COUNT), METRIC, store=RunStore.open(tmp_path / "b", FINGERPRINT), poll_seconds=0.01
        )
    assert timeless(results) == timeless(expected)
    assert {job.endpoint for job in server.jobs} == {"/v1/responses"}


def test_an_lm_of_the_predictors_own_is_the_one_that_is_swept(server, tmp_path):
    subject = program()
    [predictor] = subject.program.predictors()
    lm = predictor.lm = lm_at(server.url)
    try:
        store = RunStore.open(tmp_path, FINGERPRINT)
        results = sweep_batch(subject, examples(2), METRIC, store=store, poll_seconds=0.01)
    finally:
        lm.close()
    assert all(result.points for result in results)
    assert predictor.lm is lm


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


@pytest.mark.slow
def test_two_processes_do_not_submit_the_same_jobs(server, tmp_path):
    server.held = True
    command = [sys.executable, "-m", "tests.batch_that_is_killed", server.url, str(tmp_path), "2"]
    process = subprocess.Popen(command)
    try:
        while not server.jobs:
            assert process.poll() is None
            time.sleep(0.05)
        with pytest.raises(RunError, match="another process"):
            swept(server.url, tmp_path, 2)
    finally:
        server.held = False
        assert process.wait(60) == 0
    assert len(server.jobs) == 2


SUMS = Path(__file__).parent / "fakes" / "sums_task.py"


def sums(received: Received) -> Reply:
    first, second = map(int, re.findall(r"sum of (\d+) and (\d+)", received.prompt)[-1])
    if "partial_reasoning" in received.prompt:
        return Reply(chat(answer=first))
    return Reply(chat(reasoning=words(first % 20), answer=first + second))


@pytest.mark.slow
def test_the_command_line_gives_the_same_run_by_batch_as_live(tmp_path):
    with BatchServer(sums) as server:
        own = {
            "PYTHONPATH": str(SUMS.parents[2]),
            "OPENAI_API_BASE": server.url,
            "OPENAI_BASE_URL": server.url,
            "OPENAI_API_KEY": "none",
        }
        command = ("sweep", SUMS, "--model", "openai/gpt-4.1", "--budgets", "8,32", "--limit", "6", "--json", "--out")
        runs = []
        for name, more in (("live", []), ("batch", ["--batch"])):
            done = cli(
                *command, tmp_path / name, *more, cwd=tmp_path, DSPY_CACHEDIR=str(tmp_path / f"{name}-cache"), **own
            )
            assert done.returncode == 0, done.stderr
            runs.append(RunStore.read(tmp_path / name))
    assert runs[0].fingerprint == runs[1].fingerprint
    by_id = [sorted(timeless(run.results()), key=lambda result: result.id) for run in runs]
    assert by_id[0] == by_id[1]
    assert "Batch job 2 (batch_2): completed" in done.stderr
    assert len(server.jobs) == 2


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
