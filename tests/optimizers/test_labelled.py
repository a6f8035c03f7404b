"""Labelled examples as demonstrations: what they look like, and how sets of them race."""

from __future__ import annotations

import re
import time

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.checkpoint import Usage
from anytime_dspy.optimizers import PDP, Limits
from anytime_dspy.optimizers.prompts.labelled import can_be_shown, with_labelled
from anytime_dspy.optimizers.search.pool import FEW_SQUEEZED, Pool
from anytime_dspy.optimizers.search.race import Race
from anytime_dspy.optimizers.search.trial_store import TrialStore
from anytime_dspy.optimizers.search.trials import SpendingLimit, Validation
from anytime_dspy.testing import asked_for, chat, demos_of, prefill_of, question_of, scripted_lm
from tests.fakes.programs import Pipeline
from tests.fakes.scored import METRIC, ScoredProgram, questions, shown
from tests.fakes.simulated import examples, simulated

BUDGETS = (8, 16)


class TwoInputs(dspy.Module):
    """Its first step takes one of the two inputs, and gives what no example has a label for."""

    def __init__(self) -> None:
        super().__init__()
        self.note = dspy.Predict("text -> note")
        self.answer = dspy.ChainOfThought("text, question -> answer")

    def forward(self, text: str, question: str) -> dspy.Prediction:
        return self.answer(text=text, question=question)


def kinds(candidates):
    return [str(one) for one in candidates]


def test_they_are_shown_as_dspys_own_labelled_few_shot_shows_them():
    student = ad.Anytime(dspy.ChainOfThought("question -> answer"), BUDGETS)
    ours = with_labelled(student, questions(3))
    theirs = dspy.LabeledFewShot(k=3).compile(student, trainset=questions(3), sample=False)
    messages = [
        dspy.ChatAdapter().format(one.predictors()[0].signature, one.predictors()[0].demos, {"question": "and now?"})
        for one in (ours, theirs)
    ]
    assert messages[0] == messages[1]
    assert not student.predictors()[0].demos


def test_each_predictor_is_shown_what_fits_it_and_keeps_its_own_where_nothing_does():
    student = ad.Anytime(TwoInputs(), BUDGETS)
    own = [{"text": "t", "note": "n"}]
    student.program.note.demos = own
    example = dspy.Example(text="a", question="b?", answer="c", source="d").with_inputs("text", "question")
    program = with_labelled(student, [example])
    assert program.program.note.demos == own
    assert program.program.answer.predict.demos == [{"text": "a", "question": "b?", "answer": "c"}]


@pytest.mark.parametrize(
    "example",
    [
        dspy.Example(question="a").with_inputs("question"),
        dspy.Example(question="a", answer=None).with_inputs("question"),
        dspy.Example(question="a", label="b").with_inputs("question"),
        dspy.Example(problem="a", answer="b").with_inputs("problem"),
    ],
)
def test_examples_without_a_label_for_an_output_cannot_be_shown(example):
    assert not can_be_shown(example, ad.Anytime(dspy.ChainOfThought("question -> answer"), BUDGETS))


def test_four_sets_race_where_little_was_squeezed_and_one_at_the_end_where_there_is_enough():
    squeezed = [shown(f"shown {place}") for place in range(12)]
    few = Pool(squeezed[: FEW_SQUEEZED - 1], labelled=questions(10)).candidates(16, 0)
    assert kinds(few).count("labelled 4") == 4
    enough = kinds(Pool(squeezed, labelled=questions(10)).candidates(16, 0))
    assert enough.count("labelled 4") == 1
    assert enough[:11] == kinds(Pool(squeezed).candidates(11, 0))
    assert "labelled 2" in kinds(Pool([], labelled=questions(2)).candidates(16, 0))
    assert kinds(Pool([]).candidates(16, 0)) == ["student"]


def test_a_race_composes_sets_of_the_best_ones_and_skips_what_they_show():
    given = questions(12, "given")
    effects = {one.question: 0.08 * (place % 3) for place, one in enumerate(given)}
    student, pool = ScoredProgram(effects, 0.2, 3), Pool([], labelled=given)
    done = Race(
        student,
        pool.candidates(8, 0),
        pool.squeezed,
        Validation([*given, *questions(52)], METRIC, 2),
        TrialStore(None, "race"),
        SpendingLimit(Limits(), Usage(), time.monotonic()),
    ).run()
    assert done.winner.labelled
    assert kinds(done.candidates)[5:] == ["composed, labelled 4", "composed, labelled 6"]
    worth = [sum(effects[one.question] for one in candidate.labelled) for candidate in done.candidates]
    assert max(worth[5:]) > max(worth[:5])
    for candidate, standing in zip(done.candidates, done.report.standings, strict=True):
        asked = {one.question for one in candidate.labelled}
        assert asked.isdisjoint(given[place].question for place in standing.scores if place < len(given))


def test_a_set_is_not_measured_on_its_own_examples_if_a_predictor_takes_a_part_of_their_inputs():
    example = dspy.Example(question="b?", hint="h", answer="c").with_inputs("question", "hint")
    [_, one] = Pool([], labelled=[example]).candidates(4, 0)
    assert one.shown == [{"question": "b?", "hint": "h"}]


def matches(example, prediction):
    return float(str(prediction.answer) == example.answer)


def wordless(request):
    """The reasoning of this engine holds no answer, so there is nothing to squeeze."""
    if prefill_of(request) is not None or "answer" not in asked_for(request):
        return simulated(request)
    return re.sub(r"\d+ \+ \d+ equals \d+", "done", simulated(request))


@pytest.mark.parametrize(("labels", "found"), [(True, 4), (False, 0)])
def test_a_compile_races_them_where_examples_have_labels(labels, found):
    metric = ad.AnytimeIndex(lambda example, prediction: float(len(str(prediction.answer)) == 2))
    trainset = [one if labels else one.without("answer") for one in examples(1, 10)]
    with dspy.context(lm=scripted_lm(wordless)):
        pdp = PDP(metric, judge="checked", samples=2, trials=9, rounds=1)
        student = ad.Anytime(dspy.ChainOfThought("question -> answer"), (16, 24, 32, 40), answer_tokens=8)
        report = pdp.compile(student, trainset=trainset).compile_report
    [only] = report.rounds
    assert [one.kind for one in only.race.standings].count("labelled 4") == found


def test_a_leader_without_reasoning_is_not_sampled_and_its_race_is_run_to_its_end():
    def answers_at_once(request):
        """It is right where labelled examples are shown, and else never."""
        first, second = map(int, re.findall(r"sum of (\d+) and (\d+)", question_of(request))[-1])
        right = any("Not supplied" in one for one in demos_of(request))
        answer = str(first + second if right else 0)
        return chat(reasoning="It is known.", answer=answer) if prefill_of(request) is None else answer

    with dspy.context(lm=scripted_lm(answers_at_once)):
        pdp = PDP(ad.AnytimeIndex(matches), judge="metric", samples=1, trials=6, rounds=2, examples=16)
        student = ad.Anytime(dspy.ChainOfThought("question -> answer"), (16, 24), answer_tokens=8)
        program = pdp.compile(student, trainset=examples(1, 16))
    [only] = program.compile_report.rounds
    assert len(only.race.student.scores) == 16
    assert program.compile_report.search.winner in ("labelled 4", "composed, labelled 4", "composed, labelled 6")
    assert all(set(demo) == {"question", "answer"} for demo in program.program.predict.demos)


def test_a_pipeline_may_show_them_in_every_step_that_takes_the_same_fields():
    program = with_labelled(ad.Anytime(Pipeline(2), BUDGETS), questions(2))
    assert [len(one.demos) for one in program.predictors()] == [2, 2]
