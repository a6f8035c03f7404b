from __future__ import annotations

import itertools

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.answers import answer_text
from anytime_dspy.errors import AnytimeError, DataError, ModelError, ProgramError
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.optimizers import PDP
from anytime_dspy.optimizers.judges.metric_judges import Gold
from anytime_dspy.optimizers.judges.pairwise import Pairwise, Teacher
from anytime_dspy.optimizers.judges.registry import JUDGES, Panel, check_judge
from anytime_dspy.runtime.predictors import own_lm
from anytime_dspy.testing import asked_for, chat, inputs_of, prefill_of, scripted_lm, words
from tests.optimizers.made import group

METRIC = AnytimeIndex(lambda example, prediction: float(example.answer == prediction.answer))
LABELLED = [dspy.Example(question="?", answer="a").with_inputs("question")]


class Own(dspy.Module):
    def forward(self, task, candidate_a, candidate_b):
        return dspy.Prediction(better="A" if '"1"' in candidate_a else "B")


class Wrapped(dspy.Module):
    def __init__(self, signature):
        super().__init__()
        self.inner = dspy.ChainOfThought(signature)

    def forward(self, **inputs):
        return self.inner(**inputs)


class Loose(dspy.Module):
    def forward(self, task, answer):
        return dspy.Prediction(better="A")


VERDICT = "task, candidate_a, candidate_b -> better"


@pytest.mark.parametrize(
    "judge", [*JUDGES, Own(), dspy.Predict(VERDICT), dspy.ChainOfThought(VERDICT), Wrapped(VERDICT), Pairwise()]
)
def test_what_can_judge_is_let_through(judge):
    check_judge(judge)
    PDP(METRIC, judge=judge)


@pytest.mark.parametrize(
    ("judge", "error", "message"),
    [
        ("votes", AnytimeError, "there is no judge 'votes'"),
        (7, AnytimeError, "not int"),
        (Loose(), ProgramError, "does not take task, candidate_a, candidate_b"),
        (dspy.Predict("question -> answer"), ProgramError, "does not take"),
        (Wrapped("task, candidate_a -> better"), ProgramError, "does not take"),
        (dspy.ChainOfThought("task, candidate_a, candidate_b -> best"), ProgramError, "returns 'better'"),
    ],
)
def test_what_cannot_is_refused_before_any_call(judge, error, message):
    with pytest.raises(error, match=message):
        PDP(METRIC, judge=judge)


def test_a_pairwise_judge_checks_its_module_too():
    with pytest.raises(ProgramError, match="does not take"):
        Pairwise(module=Loose())


def test_any_module_of_the_signature_judges():
    [judge] = Panel(METRIC, LABELLED).judges(Own())
    [scores] = judge.scores([group(("1",), ("2",))]).scores
    assert scores == ((1.0,), (0.0,))


def test_a_module_that_reasons_is_counted():
    def reply(request):
        return chat(reasoning="two is more", better="A" if '"2"' in inputs_of(request)["candidate_a"] else "B")

    lm = scripted_lm(reply)
    judgement = Pairwise(lm, module=dspy.ChainOfThought(VERDICT)).scores([group(("1",), ("2",))])
    assert judgement.scores == (((0.0,), (1.0,)),)
    assert (judgement.usage.calls, judgement.usage.reasoning_tokens > 0) == (2, True)


def test_a_teacher_is_another_lm_under_its_own_name():
    teacher, student = (scripted_lm(lambda request: chat(better="A")) for _ in range(2))
    [judge] = Panel(METRIC, LABELLED).judges(Teacher(teacher))
    with dspy.context(lm=student):
        assert judge.scores([group(("1",), ("2",))]).judge == "teacher"
    assert (len(teacher.engine.requests), len(student.engine.requests)) == (2, 0)


def test_a_program_with_an_lm_of_its_own_judges_itself_with_it():
    lm = scripted_lm(lambda request: chat(better="A"))
    program = dspy.Predict("question -> answer")
    program.set_lm(lm)
    for judge in ("pairwise", Pairwise()):
        [judge] = Panel(METRIC, LABELLED, lm=own_lm(program)).judges(judge)
        assert judge.scores([group(("1",), ("2",))]).orders.verdicts == 2
    assert len(lm.engine.requests) == 4


def test_a_teacher_without_an_lm_is_refused():
    with pytest.raises(ModelError, match="needs an LM"):
        Teacher()


def test_auto_weighs_the_three_judges_that_need_neither_labels_nor_a_check():
    assert [judge.name for judge in Panel(METRIC, LABELLED).judges("auto")] == ["agreement", "pairwise", "confidence"]


def test_every_other_name_is_the_judge_that_reports_call_so():
    panel = Panel(METRIC, LABELLED, answer_text)
    assert [panel.judges(name)[0].name for name in JUDGES[1:]] == list(JUDGES[1:])


def test_gold_quality_looks_at_labels_and_says_so():
    judgement = Gold(METRIC, LABELLED).scores([group(("a",), ("b",), (None,))])
    assert judgement.scores == (((1.0,), (0.0,), (0.0,)),)
    assert judgement.labelled


def test_gold_quality_without_labels_is_an_error():
    with pytest.raises(DataError, match="training example 0 has none"):
        Gold(METRIC, [dspy.Example(question="?").with_inputs("question")]).scores([group(("a",))])


def test_compiling_again_into_the_same_folder_asks_no_judge_twice(tmp_path):
    answers, thoughts = itertools.cycle("122"), map(str, itertools.count())

    def reply(request):
        if "better" in asked_for(request):
            return chat(better="A" if '"1"' in inputs_of(request)["candidate_a"] else "B")
        begun = prefill_of(request) is not None
        return next(answers) if begun else chat(reasoning=words(40, next(thoughts)), answer="?")

    lm = scripted_lm(reply)
    student = ad.Anytime(dspy.ChainOfThought("question -> answer"), (4, 8), answer_tokens=16)
    trainset = [dspy.Example(question=f"{n}?", answer="1").with_inputs("question") for n in range(3)]
    asked = []
    for _ in range(2):
        with dspy.context(lm=lm):
            report = (
                PDP(METRIC, judge="pairwise", trials=0, log_dir=tmp_path)
                .compile(student, trainset=trainset)
                .compile_report
            )
        verdicts = sum("better" in asked_for(request) for request in lm.engine.requests)
        asked.append((verdicts, report.judged.usage.calls, report.judged.consistency))
    assert asked[0] == asked[1] == (6, 6, 1.0)
