"""Jobs that fail, expire, are refused or cannot be reached: at a server that has these faults."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

import pytest

from anytime_dspy.errors import ModelError
from tests.batch.sweeps import MARKS, swept
from tests.fakes.http_server import Fault
from tests.fakes.numbered import timeless

pytestmark = MARKS


def failing_at(number: int, fault: Fault | str, times: int) -> Callable[[dict, int], Fault | str | None]:
    return lambda body, tries: fault if tries < times and f"question {number}?" in json.dumps(body) else None


@pytest.mark.parametrize("fault", [Fault(500), Fault(429), "expired"], ids=["500", "429", "expired"])
@pytest.mark.slow
def test_what_fails_in_a_job_is_put_into_the_next(server, live_run, tmp_path, fault):
    server.failing = failing_at(7, fault, 1)
    results = swept(server.url, tmp_path / "batch")
    assert timeless(results) == timeless(live_run.results)
    # The trace is made again beside the forced answers of the others; then come its own, and these once more.
    assert len(server.jobs) == 4
    sent = Counter(json.dumps(line["body"]) for lines in server.inputs for line in lines)
    assert {times for body, times in sent.items() if "question 7?" not in body} == {1}
    assert {times for body, times in sent.items() if "question 7?" in body} == {2}


def test_a_job_that_expires_as_a_whole_is_made_again(server, live_run, tmp_path):
    server.failing = lambda body, tries: "expired" if tries == 0 else None
    assert timeless(swept(server.url, tmp_path / "batch")) == timeless(live_run.results)
    assert [job.status for job in server.jobs] == ["expired", "completed", "expired", "completed"]


def test_what_fails_three_times_is_the_examples_error_and_is_tried_again_by_the_next_sweep(server, tmp_path):
    server.failing = failing_at(7, "expired", 3)
    results = swept(server.url, tmp_path)
    assert [result.id for result in results if result.error] == ["7"]
    assert "could not be executed in time" in results[7].error
    assert all(result.points for result in results if result.id != "7")
    server.failing = lambda body, tries: None
    assert all(not result.error for result in swept(server.url, tmp_path))


def test_what_a_request_is_refused_for_is_its_examples_error_at_once(server, tmp_path):
    refusal = Fault(400, json.dumps({"error": {"message": "this is against our policy"}}))
    server.failing = failing_at(7, refusal, 99)
    results = swept(server.url, tmp_path)
    assert "against our policy" in results[7].error
    assert len(server.jobs) == 2


def test_what_a_model_refuses_is_left_out_as_in_a_live_sweep(server, tmp_path):
    refusal = Fault(400, json.dumps({"error": {"message": "Unsupported value: 'temperature' does not support 0.3"}}))
    server.failing = lambda body, tries: refusal if "temperature" in body else None
    assert all(result.points for result in swept(server.url, tmp_path, temperature=0.3))


@pytest.mark.usefixtures("impatience")
@pytest.mark.parametrize("call", [("POST", "/files"), ("POST", "/batches"), ("GET", "/batches/batch_1")])
@pytest.mark.parametrize("fault", [Fault(429), Fault(500), Fault(drop=True)], ids=["429", "500", "dropped"])
@pytest.mark.slow
def test_a_limit_or_an_error_at_a_call_of_the_api_is_waited_out(server, tmp_path, call, fault):
    server.faults[call] = [fault] * 4
    assert all(result.points for result in swept(server.url, tmp_path))
    assert len(server.jobs) == 2


def test_a_job_whose_creation_was_not_heard_of_is_found_and_not_created_twice(server, tmp_path):
    server.silent["POST", "/batches"] = [Fault(502)]
    assert all(result.points for result in swept(server.url, tmp_path))
    assert len(server.jobs) == 2


def test_a_rejected_file_is_one_error_and_costs_nothing(server, tmp_path):
    server.rejects = "Line 1: the model is not for batches"
    with pytest.raises(ModelError, match="the model is not for batches"):
        swept(server.url, tmp_path)
    assert server.billed == 0
    server.rejects = None
    assert all(result.points for result in swept(server.url, tmp_path))


def test_a_job_that_was_cancelled_is_not_made_again_unasked(server, tmp_path):
    server.cancels = True
    with pytest.raises(ModelError, match="cancelled"):
        swept(server.url, tmp_path)
    assert len(server.jobs) == 1
    server.cancels = False
    assert all(result.points for result in swept(server.url, tmp_path))
    assert len(server.jobs) == 3


def test_a_refused_key_is_one_error(server, tmp_path):
    server.faults["POST", "/files"] = [Fault(401, json.dumps({"error": {"message": "no such key"}}))]
    with pytest.raises(ModelError, match="no such key"):
        swept(server.url, tmp_path)
