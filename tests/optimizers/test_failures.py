"""An LM that fails where an optimiser asks it something: told with its count, and no error passes for "nothing"."""

from __future__ import annotations

import re

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.errors import AnytimeError
from anytime_dspy.optimizers import LEAP, PDP
from anytime_dspy.optimizers.failures import Failures, one_line
from anytime_dspy.optimizers.judges.confidence import Confidence
from anytime_dspy.optimizers.judges.pairwise import Pairwise
from anytime_dspy.testing import asked_for, scripted_lm
from tests.fakes.simulated import examples, simulated
from tests.optimizers.made import group
from tests.optimizers.test_leap import METRIC, adder, trainset
from tests.optimizers.test_leap import student as adding_student

INDEX = ad.AnytimeIndex(lambda example, prediction: float(str(prediction.answer) == example.answer))


def failing_at(field, reply, times=None):
    """Answers as `reply` does, and fails where this field is asked for, as often as `times` says."""
    left = iter(range(times)) if times is not None else iter(int, 1)

    def moody(request):
        if field in asked_for(request) and next(left, None) is not None:
            raise dspy.lm15.ServerError("overloaded\nand more")
        return reply(request)

    return scripted_lm(moody, num_retries=0)


def learned(lm, **options):
    with dspy.context(lm=lm):
        return LEAP(METRIC, samples=6, **options).compile(adding_student(), trainset=trainset()).compile_report


def searched(lm, **options):
    student = ad.Anytime(dspy.ChainOfThought("question -> answer"), (16, 32), answer_tokens=8)
    with dspy.context(lm=lm):
        return PDP(INDEX, **{"trials": 0, **options}).compile(student, trainset=examples(1, 8)).compile_report


def test_leap_does_not_take_an_lm_that_always_fails_for_nothing_to_learn():
    with pytest.raises(
        AnytimeError, match=r"all 4 questions about mistakes failed, the first with: .*overloaded"
    ) as told:
        learned(failing_at("principle", adder))
    assert "\n" not in str(told.value)


def test_leap_counts_the_mistakes_that_it_could_not_ask_about(caplog):
    report = learned(failing_at("principle", adder, times=2), level="low")
    assert (report.mistakes, len(report.low)) == (4, 2)
    assert "2 of 4 questions about mistakes failed" in caplog.text


def test_principles_that_could_not_be_condensed_are_told_as_they_are_and_that_is_warned_of(caplog):
    report = learned(failing_at("principles", adder))
    assert report.shown == report.low
    assert "condensed nothing" in caplog.text
    assert "the first 4 of 4" in caplog.text


def test_a_search_goes_on_without_principles_and_says_how_many_could_not_be_had(caplog):
    lm = failing_at("rules", simulated)
    report = searched(lm, trials=12, samples=3)
    asked = sum("rules" in asked_for(request) for request in lm.engine.requests)
    assert asked == 0  # none of them was answered
    assert report.search.candidates >= 2
    assert re.search(r"\b([1-9]\d*) of \1 requests for principles failed", caplog.text)


def test_a_judge_that_was_asked_for_and_never_answers_is_an_error_and_no_tie():
    with pytest.raises(AnytimeError, match=r"questions of the judge pairwise failed.*overloaded.*name another judge"):
        searched(failing_at("better", simulated), judge="pairwise")


def test_of_a_judge_that_never_answers_the_reliability_says_so():
    def broken(request):
        raise dspy.lm15.ServerError("overloaded")

    groups = [group(("a",), ("a",), ("b",))]
    for judge in (Pairwise, Confidence):
        lm = scripted_lm(broken, num_retries=0)
        lm.engine.supported_params |= {"logprobs"}
        reliability = judge(lm).reliability(groups)
        assert reliability.value == 0.0
        assert "questions failed, the first with: LMServerError" in reliability.measured


def test_a_judge_that_answers_some_of_the_time_is_used_and_its_failures_counted(caplog):
    lm = failing_at("better", simulated, times=1)
    judgement = Pairwise(lm).scores([group(("1",), ("2",))])
    assert judgement.failures == Failures(2, judgement.failures.errors)
    assert len(judgement.failures.errors) == 1
    judgement.failures.refuse("questions")
    assert "1 of 2 questions failed" in caplog.text


def test_nothing_asked_is_nothing_failed(caplog):
    Failures().refuse("questions")
    assert not caplog.text


def test_a_reason_is_one_line():
    assert one_line(ValueError("one\ntwo")) == "ValueError: one"
    assert one_line(ValueError()) == "ValueError"
