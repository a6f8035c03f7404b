from __future__ import annotations

import json
from dataclasses import replace
from typing import Literal

import dspy
import pytest
from pydantic import BaseModel

import anytime_dspy as ad
from anytime_dspy.errors import RunError
from anytime_dspy.optimizers.traces.sampling import Sampling, sample_traces
from anytime_dspy.optimizers.traces.trace_file import TraceLog
from anytime_dspy.testing import chat, prefill_of, scripted_lm, words
from tests.fakes.programs import Pipeline

SAMPLING = Sampling(samples=3)


def thinker(request):
    return chat(reasoning=words(20), answer="late") if prefill_of(request) is None else "early"


def examples(*questions):
    return [
        dspy.Example(question=question).with_inputs("question") for question in questions or ("one", "two\u2028three")
    ]


def student(program=None):
    return ad.Anytime(program or dspy.ChainOfThought("question -> answer"), (4, 8), answer_tokens=16)


def sampled(lm, path, program=None, trainset=None, sampling=SAMPLING, **options):
    with dspy.context(lm=lm):
        return sample_traces(
            program or student(), trainset or examples(), sampling, log=TraceLog(path / "traces.jsonl"), **options
        )


def test_a_finished_sampling_is_read_again_without_a_call(tmp_path):
    lm = scripted_lm(thinker)
    program = student(Pipeline(2))
    first = sampled(lm, tmp_path, program)
    paid, seen = len(lm.engine.requests), []
    assert sampled(lm, tmp_path, program, on_trace=seen.append) == first == seen
    assert len(lm.engine.requests) == paid


@pytest.mark.parametrize(("calls_left", "sampled_again"), [(True, 0), (False, 4)])
def test_a_stopped_sampling_goes_on_where_it_was(tmp_path, calls_left, sampled_again):
    lm = scripted_lm(thinker)
    whole = sampled(lm, tmp_path)
    path = tmp_path / "traces.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + lines[3][:40])  # two traces, and one that a kill tore
    if not calls_left:
        (tmp_path / "calls.jsonl").unlink()
    paid = len(lm.engine.requests)
    resumed = sampled(lm, tmp_path)
    assert [trace.checkpoints[0].calls for trace in resumed] == [trace.checkpoints[0].calls for trace in whole]
    assert len(lm.engine.requests) - paid == paid * sampled_again // 6
    assert len(path.read_bytes().splitlines()) == len(lines)


class Stop(BaseModel):
    city: str
    days: int


class Travel(dspy.Signature):
    """Plan."""

    seen: set[str] = dspy.InputField()
    thought: dspy.Reasoning = dspy.OutputField()
    stops: list[Stop] = dspy.OutputField()
    mood: Literal["good", "bad"] = dspy.OutputField()


def test_typed_fields_become_what_they_were(tmp_path):
    stops = [Stop(city="Zürich", days=2)]
    lm = scripted_lm(
        lambda _: chat(thought="short", stops=json.dumps([stop.model_dump() for stop in stops]), mood="good")
    )
    trainset = [dspy.Example(seen={"Rome"}).with_inputs("seen")]
    program = student(dspy.Predict(Travel))
    fresh, again = (sampled(lm, tmp_path, program, trainset, Sampling(samples=1)) for _ in range(2))
    assert again == fresh
    prediction = again[0].checkpoints[-1].prediction
    assert (prediction.stops, prediction.mood) == (stops, "good")
    assert isinstance(prediction.thought, dspy.Reasoning)
    assert again[0].checkpoints[-1].calls[0].inputs == {"seen": {"Rome"}}


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"sampling": replace(SAMPLING, seed=1)}, "seed"),
        ({"sampling": replace(SAMPLING, round=1)}, "round"),
        ({"sampling": replace(SAMPLING, samples=4)}, "samples"),
        ({"trainset": examples("other")}, "trainset"),
        ({"program": ad.Anytime(dspy.ChainOfThought("question -> answer"), (4, 9), answer_tokens=16)}, "budgets"),
        ({"program": student(dspy.ChainOfThought("question -> reply"))}, "student"),
        ({"lm": scripted_lm(thinker)}, "lm"),
    ],
)
def test_traces_of_another_sampling_are_refused_before_any_call(tmp_path, changed, key):
    lm = scripted_lm(thinker)
    sampled(lm, tmp_path)
    paid = len(lm.engine.requests)
    with pytest.raises(RunError, match=rf"of another run: its {key} is .*, not .*; choose another folder"):
        sampled(**{"lm": lm, "path": tmp_path, **changed})
    assert len(lm.engine.requests) == paid


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"sample": 0}\n', "does not say which run it is of"),
        ('{"fingerprint": \n', "line 1 of .* is damaged"),
    ],
)
def test_a_file_that_is_no_trace_log_is_refused(tmp_path, text, message):
    (tmp_path / "traces.jsonl").write_text(text)
    with pytest.raises(RunError, match=message):
        sampled(scripted_lm(thinker), tmp_path)


def test_a_line_that_is_no_trace_is_refused(tmp_path):
    sampled(scripted_lm(thinker, cache=True), tmp_path)
    path = tmp_path / "traces.jsonl"
    first = path.read_text().splitlines(keepends=True)[0]
    path.write_text(first + '{"example_index": 0}\n')
    lm = scripted_lm(thinker)
    lm.model = json.loads(first)["fingerprint"]["lm"][0]
    with pytest.raises(RunError, match="holds something that is no trace"):
        sampled(lm, tmp_path)
