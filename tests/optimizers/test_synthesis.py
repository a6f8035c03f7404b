from __future__ import annotations

import threading

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.errors import AnytimeError, ProgramError
from anytime_dspy.optimizers.traces.sampling import Sampling, sample_traces
from anytime_dspy.optimizers.traces.trace import group_traces
from anytime_dspy.testing import chat, prefill_of, prompt_of, question_of, scripted_lm, words
from tests.fakes.programs import Pipeline

QUESTIONS = ("first", "second")


def examples(*questions):
    return [dspy.Example(question=question, answer="?").with_inputs("question") for question in questions or QUESTIONS]


def student(**options):
    return ad.Anytime(dspy.ChainOfThought("question -> answer"), (4, 8), answer_tokens=16, **options)


def thinker(request):
    return chat(reasoning=words(20), answer="late") if prefill_of(request) is None else "early"


def sampled(lm, program=None, trainset=None, on_trace=None, **options):
    with dspy.context(lm=lm):
        return sample_traces(program or student(), trainset or examples(), Sampling(**options), on_trace=on_trace)


def heats_of(lm):
    """The temperature that reasoning was sampled at, and that of forced answers."""
    kinds = [
        {r.config.temperature for r in lm.engine.requests if bool(prefill_of(r)) is forced} for forced in (False, True)
    ]
    [(sampled_at,), (forced_at,)] = kinds
    return sampled_at, forced_at


def test_each_example_is_sampled_evenly_over_the_styles_in_a_fixed_order():
    traces = sampled(scripted_lm(thinker), samples=6, threads=4)
    assert [(trace.example_index, trace.sample) for trace in traces] == [(e, s) for e in range(2) for s in range(6)]
    assert [trace.style for trace in traces[:6]] == ["plain", "brief", "terse"] * 2


def test_a_trace_is_cut_and_answered_at_every_budget():
    first = sampled(scripted_lm(thinker), samples=1)[0]
    assert [checkpoint.budget for checkpoint in first.checkpoints] == [4, 8]
    assert [checkpoint.calls[0].reasoning for checkpoint in first.checkpoints] == [words(4), words(8)]


def test_a_style_reaches_the_prompt_of_every_predictor_and_the_student_stays_as_it_was():
    program = ad.Anytime(Pipeline(2), (4, 8), answer_tokens=16)
    before = program.dump_state()
    lm = scripted_lm(thinker)
    sampled(lm, program, samples=3)
    prompts = [prompt_of(request) for request in lm.engine.requests if prefill_of(request) is None]
    assert sum("Think in at most 4 tokens" in prompt for prompt in prompts) == 2  # the second step is never asked live
    assert program.dump_state() == before
    assert all(not predictor.config for predictor in program.predictors())


def test_samples_differ_in_their_seeds_and_are_hot_whatever_the_lm_was_made_with():
    lm = scripted_lm(thinker, temperature=0.0)
    seeds = {trace.seed for trace in sampled(lm, samples=6, temperature=0.7)}
    assert len(seeds) == 6
    assert {request.config.seed for request in lm.engine.requests} == seeds
    assert heats_of(lm) == (0.7, 0.0)


def test_seed_zero_is_a_seed_of_its_own():
    zero, again, one = (
        [trace.seed for trace in sampled(scripted_lm(thinker), samples=3, seed=seed)] for seed in (0, 0, 1)
    )
    assert zero == again
    assert not set(zero) & set(one)


def test_a_predictor_with_an_lm_of_its_own_is_sampled_on_it():
    own, other = scripted_lm(thinker, temperature=0.0), scripted_lm(thinker)
    other.engine.supported_params = frozenset()
    program = student()
    program.set_lm(own)
    sampled(other, program, samples=2)
    assert not other.engine.requests
    assert heats_of(own) == (0.9, 0.0)
    assert None not in {request.config.seed for request in own.engine.requests}


def test_an_engine_that_takes_no_seed_is_given_none():
    lm = scripted_lm(thinker)
    lm.engine.supported_params = frozenset({"max_tokens", "temperature"})
    sampled(lm, samples=2)
    assert {request.config.seed for request in lm.engine.requests} == {None}


@pytest.mark.parametrize("takes_seed", [True, False])
def test_the_cache_keeps_samples_apart_and_makes_a_repeated_run_free(takes_seed):
    lm = scripted_lm(thinker, cache=True)
    lm.engine.supported_params = frozenset({"max_tokens", "temperature", *(["seed"] if takes_seed else [])})
    first = sampled(lm, samples=4)
    paid = len(lm.engine.requests)
    assert sum("first" in question_of(r) and prefill_of(r) is None for r in lm.engine.requests) == 4
    again = sampled(lm, samples=4)
    assert len(lm.engine.requests) == paid
    assert [trace.checkpoints[-1].prediction.answer for trace in again] == [
        trace.checkpoints[-1].prediction.answer for trace in first
    ]


def test_usage_is_what_the_engine_really_wrote():
    lm = scripted_lm(thinker)
    [trace] = sampled(lm, trainset=examples("one"), samples=1)
    assert trace.usage.calls == len(lm.engine.requests) == 3  # the run, and an answer at each budget
    assert trace.usage.prompt_tokens == sum(response.usage.input_tokens for response in lm.engine.responses)


def test_a_failed_run_is_logged_and_left_out_of_the_rest(caplog):
    def moody(request):
        if "second" in question_of(request):
            raise dspy.lm15.ServerError("overloaded")
        return thinker(request)

    traces = sampled(scripted_lm(moody, num_retries=0), samples=2)
    assert [trace.example_index for trace in traces] == [0, 0]
    assert sum("training example 1 failed" in record.message for record in caplog.records) == 2


def test_when_every_run_fails_the_reason_is_told():
    def broken(request):
        raise dspy.lm15.ServerError("overloaded")

    with pytest.raises(AnytimeError, match=r"none of the 4 runs.*overloaded"):
        sampled(scripted_lm(broken, num_retries=0), samples=2)


def test_a_program_that_no_budget_can_run_is_an_error_at_once():
    with pytest.raises(ProgramError, match="n > 1"):
        sampled(scripted_lm(thinker, n=2), samples=2)


def test_traces_are_told_of_in_the_callers_thread():
    seen = []
    sampled(scripted_lm(thinker), samples=3, threads=3, on_trace=lambda _: seen.append(threading.get_ident()))
    assert seen == [threading.get_ident()] * 6


def test_traces_are_grouped_by_example_and_an_example_without_any_has_no_group():
    program, trainset = student(), examples("a", "b", "c")
    traces = [
        trace for trace in sampled(scripted_lm(thinker), program, trainset, samples=2) if trace.example_index != 1
    ]
    groups = group_traces(program, trainset, traces)
    assert [(group.example_index, group.inputs, len(group.traces)) for group in groups] == [
        (0, {"question": "a"}, 2),
        (2, {"question": "c"}, 2),
    ]
    assert groups[0].instructions == program.predictors()[0].signature.instructions
