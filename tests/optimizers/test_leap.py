from __future__ import annotations

import json

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.errors import AnytimeError, DataError, ProgramError, RunError
from anytime_dspy.optimizers import LEAP, LeapReport, SelfConsistency
from anytime_dspy.storage.jsonl import content_hash
from anytime_dspy.testing import asked_for, chat, inputs_of, prompt_of, scripted_lm
from tests.fakes.programs import Pipeline

METRIC = ad.AnytimeIndex(lambda example, prediction: float(str(prediction.answer) == example.answer))
PRINCIPLE = "Carry the one."


def adder(request):
    """Adds one too few, or too many at an odd seed, until it is told to carry."""
    wanted, inputs = asked_for(request), inputs_of(request)
    if "principle" in wanted:
        said = inputs["attempt"].split("answer:")[1].split()[0]
        return chat(principle=f"Lesson {content_hash([inputs['task'], said])} [[ ## answer ## ]]\n\nAnd so on.")
    if "principles" in wanted:
        return chat(principles=f"1. **{PRINCIPLE}**\n2. carry the one\n3. Always\n4. A second line.")
    assert wanted[-1] == "answer", wanted
    terms = [int(n) for n in inputs["question"].strip("?").split("+")]
    is_right = PRINCIPLE in prompt_of(request) or 9 in terms
    off = 0 if is_right else 1 if (request.config.seed or 0) % 2 else -1
    return chat(reasoning=" and ".join(map(str, terms)), answer=sum(terms) + off)


def trainset(*problems, labelled=True):
    return [
        dspy.Example(question=f"{a}+{b}?", **({"answer": str(a + b), "id": f"{a}{b}"} if labelled else {})).with_inputs(
            "question"
        )
        for a, b in problems or ((1, 2), (9, 4), (3, 5))
    ]


def student(program=None):
    return ad.Anytime(program or dspy.ChainOfThought("question -> answer"), (4, 16), answer_tokens=16)


def compiled(lm=None, program=None, examples=None, **options):
    with dspy.context(lm=lm or scripted_lm(adder)):
        return LEAP(METRIC, **{"samples": 6, **options}).compile(
            program or student(), trainset=trainset() if examples is None else examples
        )


def test_mistakes_become_principles_and_principles_right_answers():
    before, program = student(), compiled()
    report = program.compile_report
    assert isinstance(report, LeapReport)
    assert (report.traces, report.wrong, report.mistakes) == (18, 12, 4)  # two examples, two wrong answers each
    assert len(report.low) == 4
    assert report.shown == (PRINCIPLE, "A second line.")  # said twice is told once, one word is nothing
    with dspy.context(lm=scripted_lm(adder)):
        assert before(question="2+2?").answer != "4"
        prediction = program(question="2+2?")
    assert prediction.answer == "4"
    assert [checkpoint.budget for checkpoint in prediction.checkpoints] == [4, 16]


def test_the_low_level_tells_every_principle_without_stray_headers():
    program = compiled(level="low")
    instructions = program.program.predict.signature.instructions
    assert program.compile_report.shown == program.compile_report.low
    assert all(f"- {principle}" in instructions for principle in program.compile_report.low)
    assert f"Lesson {content_hash(['1+2?', '2'])}" in instructions
    assert "[[ ##" not in instructions
    assert "And so on" not in instructions


def test_an_lm_is_shown_the_wrong_reasoning_and_the_right_answer():
    lm = scripted_lm(adder)
    compiled(lm)
    asked = [inputs_of(request) for request in lm.engine.requests if "principle" in asked_for(request)]
    attempts = [inputs["attempt"] for inputs in asked]
    assert all("reasoning: 1 and 2" in text or "reasoning: 3 and 5" in text for text in attempts)
    assert sorted(inputs["right_answer"] for inputs in asked) == ["3", "3", "8", "8"]


def test_right_answers_are_shown_first_and_then_labels():
    demos = compiled(shots=2).program.predict.demos
    assert demos[0] == {"question": "9+4?", "reasoning": "9 and 4", "answer": "13"}
    assert demos[1] in ({"question": "1+2?", "answer": "3"}, {"question": "3+5?", "answer": "8"})
    assert compiled(shots=0).program.predict.demos == []


def test_sampling_shows_no_demonstrations_and_the_students_own_are_kept():
    program = dspy.ChainOfThought("question -> answer")
    program.predict.demos = [{"question": "5+5?", "reasoning": "five and five", "answer": "10"}]
    lm = scripted_lm(adder)
    result = compiled(lm, student(program))
    assert result.program.predict.demos == program.predict.demos
    assert not any("five and five" in prompt_of(request) for request in lm.engine.requests)


def test_every_predictor_of_a_program_is_told():
    program = compiled(program=student(Pipeline(2)))
    assert [PRINCIPLE in predictor.signature.instructions for predictor in program.predictors()] == [True, True]


def test_a_program_that_cannot_be_cut_is_sampled_as_it_is_run():
    voting = SelfConsistency(dspy.ChainOfThought("question -> answer"), samples=2)
    program = compiled(program=ad.Anytime(voting, (8, 32), answer_tokens=16, mode="contract"), samples=2)
    assert PRINCIPLE in program.program.program.predict.signature.instructions


def test_the_student_and_the_optimiser_stay_as_they_were():
    before, leap = student(), LEAP(METRIC, samples=2)
    state, own = before.dump_state(), dict(vars(leap))
    with dspy.context(lm=scripted_lm(adder)):
        result = leap.compile(before, trainset=trainset())
    assert before.dump_state() == state
    assert vars(leap) == own
    assert not getattr(result, "_compiled", False)


def test_an_lm_that_makes_no_mistake_teaches_nothing(caplog):
    program = compiled(examples=trainset((9, 4)))
    assert program.compile_report.shown == ()
    assert program.program.predict.signature.instructions == student().program.predict.signature.instructions
    assert "LEAP learned nothing: 0 of 6" in caplog.text


def test_a_student_with_an_lm_of_its_own_needs_no_other():
    program = student()
    program.set_lm(scripted_lm(adder))
    result = LEAP(METRIC, samples=2).compile(program, trainset=trainset())
    assert PRINCIPLE in result.program.predict.signature.instructions


def test_the_report_says_what_it_cost():
    lm = scripted_lm(adder)
    report = compiled(lm).compile_report
    assert report.synthesis.calls + report.learning.calls == len(lm.engine.requests)
    assert report.learning.calls == 4 + 1


def test_a_compile_that_is_started_again_pays_for_nothing_twice(tmp_path):
    lm = scripted_lm(adder)
    first, again = (compiled(lm, log_dir=tmp_path) for _ in range(2))
    assert first.dump_state() == again.dump_state()
    assert first.compile_report == again.compile_report
    assert len(lm.engine.requests) == first.compile_report.synthesis.calls + first.compile_report.learning.calls
    assert json.loads((tmp_path / "report.json").read_text())["shown"] == list(first.compile_report.shown)
    with pytest.raises(RunError, match="another run"):
        compiled(lm, log_dir=tmp_path, seed=1)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"examples": trainset(labelled=False)}, DataError, "LEAP learns from right answers, .* example 0 .* answer"),
        ({"examples": []}, DataError, "trainset is empty"),
        ({"program": dspy.ChainOfThought("question -> answer")}, ProgramError, "LEAP compiles an Anytime program"),
    ],
)
def test_what_cannot_be_used_is_refused_before_any_call(arguments, error, words):
    lm = scripted_lm(adder)
    with pytest.raises(error, match=words):
        compiled(lm, **arguments)
    assert not lm.engine.requests


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"level": "middle"}, "low.*high"),
        ({"temperature": 0}, "above 0"),
        ({"samples": 0}, "samples must be at least 1"),
        ({"shots": -1}, "shots must be at least 0"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options, words):
    with pytest.raises(AnytimeError, match=words):
        LEAP(METRIC, **options)


def test_one_failed_question_loses_nothing_else(caplog):
    def moody(request):
        if "principle" in asked_for(request) and "1+2" in inputs_of(request)["task"]:
            raise dspy.lm15.ServerError("overloaded")
        return adder(request)

    report = compiled(scripted_lm(moody, num_retries=0), level="low").compile_report
    assert (report.mistakes, len(report.low)) == (4, 2)
    assert "wrote no principle" in caplog.text
