"""Sweeps by batch jobs, at a server on loopback that speaks OpenAI's files and batches API."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from anytime_dspy.batch import sweep_batch
from anytime_dspy.errors import DataError
from anytime_dspy.storage.merging import merge
from anytime_dspy.storage.run_folder import RunStore
from anytime_dspy.storage.shards import Shard
from anytime_dspy.testing import chat, words
from tests.batch.sweeps import COUNT, FINGERPRINT, MARKS, METRIC, examples, kept, live, lm_at, program, swept, using
from tests.fakes.batch_server import BatchServer
from tests.fakes.command_line import cli
from tests.fakes.http_server import Received, Reply
from tests.fakes.numbered import timeless

pytestmark = MARKS


def test_two_jobs_give_what_a_live_sweep_gives(server, live_run, tmp_path):
    jobs = []
    results = swept(server.url, tmp_path / "batch", on_job=jobs.append)
    assert timeless(results) == timeless(live_run.results)
    assert kept(tmp_path / "batch") == kept(live_run.folder)
    assert results[0].points[-1].usage.dollars > 0
    assert len(server.jobs) == 2
    traces, forced = server.inputs
    assert len(traces) == COUNT
    assert all("partial_reasoning" not in json.dumps(line) for line in traces)
    assert forced
    assert all("partial_reasoning" in json.dumps(line) for line in forced)
    # To the token, each request once.
    assert len(server.received) == live_run.calls == len(traces) + len(forced)
    assert server.billed == live_run.billed
    assert [job.status for job in jobs if job.number == 1] == ["uploaded", "submitted", "in_progress", "completed"]


def test_the_same_command_again_asks_for_nothing(server, tmp_path):
    first = swept(server.url, tmp_path)
    calls = len(server.calls)
    assert swept(server.url, tmp_path) == first
    assert len(server.calls) == calls
    # More examples are two jobs of their own.
    assert len(swept(server.url, tmp_path, COUNT + 3)) == COUNT + 3
    assert [len(lines) for lines in server.inputs[::2]] == [COUNT, 3]


def test_shards_by_batch_merged_are_the_live_run(server, live_run, tmp_path):
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
    assert timeless(RunStore.read(tmp_path / "merged").results()) == timeless(live_run.results)


def test_contract_mode_is_two_jobs_too(server, tmp_path):
    subject = program(mode="contract")
    expected = live(server.url, tmp_path / "live", subject)
    results = swept(server.url, tmp_path / "batch", subject=subject)
    assert timeless(results) == timeless(expected)
    assert len(server.jobs) == 2


def test_litellms_engine_makes_the_same_requests_in_a_batch_as_live(server, tmp_path):
    expected = live(server.url, tmp_path / "live", engine="litellm")
    sent = {json.dumps(received.body, sort_keys=True) for received in server.received}
    results = swept(server.url, tmp_path / "batch", engine="litellm")
    assert timeless(results) == timeless(expected)
    assert {json.dumps(line["body"], sort_keys=True) for lines in server.inputs for line in lines} == sent


def test_the_responses_api_has_batches_too(server, tmp_path):
    expected = live(server.url, tmp_path / "live", model_type="responses")
    results = swept(server.url, tmp_path / "batch", model_type="responses")
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


SUMS = Path(__file__).parents[1] / "fakes" / "sums_task.py"


def sums(received: Received) -> Reply:
    first, second = map(int, re.findall(r"sum of (\d+) and (\d+)", received.prompt)[-1])
    if "partial_reasoning" in received.prompt:
        return Reply(chat(answer=first))
    return Reply(chat(reasoning=words(first % 20), answer=first + second))


@pytest.mark.slow
def test_the_command_line_gives_the_same_run_by_batch_as_live(impatience, tmp_path):
    with BatchServer(sums) as server:
        own = {"OPENAI_API_BASE": server.url, "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "none"}
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
