from __future__ import annotations

import json
import logging
from dataclasses import FrozenInstanceError

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.errors import AnytimeError, DataError, ModelError, ProgramError, RunError
from anytime_dspy.local import local_lm
from anytime_dspy.optimizers import PDP, CompileReport, read_pairs
from anytime_dspy.optimizers.judges.base import Judgement, Reliability
from anytime_dspy.optimizers.traces.sampling import STYLES
from anytime_dspy.testing import asked_for, chat, inputs_of, prefill_of, prompt_of, question_of, scripted_lm
from tests.fakes.programs import Pipeline
from tests.fakes.prompts import style_of

NUMBERS = (3, 4, 5, 6)
METRIC = ad.AnytimeIndex(lambda example, prediction: float(str(prediction.answer) == example.answer))


def doubler(request):
    """Doubles the number in the question: rightly in a short style, and of two plain samples rightly in the first."""
    wanted, begun = asked_for(request), prefill_of(request)
    if "better" in wanted:
        return chat(better="A")
    assert wanted[-1] == "answer", wanted
    number = int(inputs_of(request)["question"].split("double of ")[1].split()[0])
    short = style_of(prompt_of(request)) != "plain"
    if begun is not None:
        return str(2 * number) if "equals" in begun else "unknown"
    thought = (
        f"{number} + {number} equals {2 * number}" if short else "let me think about that for a while and see what"
    )
    return chat(reasoning=thought, answer=2 * number if short else number)


def trainset(labelled=True):
    return [
        dspy.Example(question=f"the double of {n} ?", **({"answer": str(2 * n)} if labelled else {})).with_inputs(
            "question"
        )
        for n in NUMBERS
    ]


def student(program=None):
    return ad.Anytime(program or dspy.ChainOfThought("question -> answer"), (4, 8, 16), answer_tokens=16)


def compiled(lm=None, program=None, examples=None, on_trace=None, **options):
    with dspy.context(lm=lm or scripted_lm(doubler)):
        return PDP(METRIC, **{"trials": 0, **options}).compile(
            program or student(), trainset=trainset() if examples is None else examples, on_trace=on_trace
        )


def test_a_compiled_program_is_shown_one_pair_for_each_budget():
    program = compiled()
    report = program.compile_report
    assert isinstance(report, CompileReport)
    assert [pair.budget for pair in report.selected] == [4, 8, 16]
    assert len({pair.example_index for pair in report.selected}) == 3
    predictor = program.program.predict
    assert [set(demo) for demo in predictor.demos] == [{"question", "reasoning", "answer"}] * 3
    assert all("equals" in demo["reasoning"] for demo in predictor.demos)
    assert "Worse reasoning: let me think" in predictor.signature.instructions


def test_without_contrast_the_instructions_stay():
    program = compiled(contrastive=False)
    assert program.program.predict.signature.instructions == student().program.predict.signature.instructions
    assert program.program.predict.demos


def test_auto_takes_the_votes_where_the_verdicts_are_blind_and_says_so(caplog):
    with caplog.at_level(logging.INFO, logger="anytime_dspy"):
        report = compiled().compile_report
    assert report.judge == "agreement"
    assert {one.judge: one.value for one in report.reliability}["pairwise"] == 0.0
    assert "judges is agreement:" in report.reason
    assert report.reason in caplog.text


def test_a_named_judge_is_used_even_where_it_is_hardly_reliable_and_that_is_warned_of(caplog):
    with pytest.raises(AnytimeError, match="no difference"):
        compiled(judge="pairwise")
    assert "hardly reliable" in caplog.text


def test_self_judgement_is_compared_with_gold_where_there_are_labels_and_never_decides():
    with_labels = compiled(seed=5).compile_report
    without = compiled(seed=5, examples=trainset(labelled=False)).compile_report
    assert with_labels.gold.agree == with_labels.gold.pairs == with_labels.pairs
    assert with_labels.gold_selected.pairs == 3
    assert without.gold is None
    assert without.gold_selected is None
    assert [(p.budget, p.example_index) for p in without.selected] == [
        (p.budget, p.example_index) for p in with_labels.selected
    ]


def test_where_self_judgement_is_wrong_the_report_says_so():
    def odd(example, prediction):
        return float(prediction.answer == "unknown")

    with dspy.context(lm=scripted_lm(doubler)):
        report = PDP(ad.AnytimeIndex(odd), trials=0).compile(student(), trainset=trainset()).compile_report
    assert report.gold.agree == 0
    assert 0 < report.gold.disagree < report.gold.pairs


def test_examples_without_labels_are_not_compared_with_gold_by_a_quality_that_would_let_them():
    metric = ad.AnytimeIndex(lambda example, prediction: 0.5)
    with dspy.context(lm=scripted_lm(doubler)):
        report = PDP(metric, trials=0).compile(student(), trainset=trainset(labelled=False)).compile_report
    assert report.gold is None


def test_an_answer_key_makes_answers_in_many_words_comparable():
    def chatty(request):
        reply, style = doubler(request), style_of(prompt_of(request))
        return reply.replace("[[ ## answer ## ]]\n", f"[[ ## answer ## ]]\n{'so' if style == 'brief' else 'is'} ")

    with pytest.raises(AnytimeError, match="no judge"):
        compiled(scripted_lm(chatty), samples=3)
    report = compiled(scripted_lm(chatty), samples=3, answer_key=lambda p: p.answer.split()[-1]).compile_report
    assert report.judge == "agreement"


def test_the_verdicts_too_go_by_the_answer_key():
    lm = scripted_lm(doubler)
    with pytest.raises(AnytimeError, match="no difference"):
        compiled(lm, judge="pairwise", answer_key=lambda prediction: "the same")
    assert not any("better" in asked_for(request) for request in lm.engine.requests)
    assert lm.engine.requests


def test_what_was_spent_is_reported_in_two_parts():
    lm = scripted_lm(doubler)
    report = compiled(lm).compile_report
    assert report.synthesis.calls + report.judging.calls == len(lm.engine.requests)
    assert report.judging.calls > 0
    assert (report.traces, report.failed) == (24, 0)


def test_failed_runs_are_counted():
    def moody(request):
        if "double of 3" in question_of(request):
            raise dspy.lm15.ServerError("overloaded")
        return doubler(request)

    report = compiled(scripted_lm(moody, num_retries=0)).compile_report
    assert (report.traces, report.failed) == (18, 6)


def test_the_log_folder_holds_traces_pairs_and_the_report(tmp_path):
    report = compiled(log_dir=tmp_path / "log").compile_report
    _, *traces = [json.loads(line) for line in (tmp_path / "log" / "traces.jsonl").read_text().splitlines()]
    assert len(traces) == report.traces
    assert {trace["style"] for trace in traces} == {style.name for style in STYLES}
    assert [point["budget"] for point in traces[0]["checkpoints"]] == [4, 8, 16]
    assert traces[0]["checkpoints"][0]["calls"][0]["predictor"] == "predict"
    pairs = read_pairs(tmp_path / "log" / "pairs.jsonl")
    assert len(pairs) == report.pairs
    assert {(p.budget, p.example_index) for p in pairs if p.selected} == {
        (p.budget, p.example_index) for p in report.selected
    }
    written = json.loads((tmp_path / "log" / "report.json").read_text())
    assert written["judge"] == "agreement"
    assert written["gold"] == {"pairs": report.pairs, "agree": report.pairs, "disagree": 0}


def test_compiling_again_into_the_same_folder_samples_no_trace_twice(tmp_path):
    lm = scripted_lm(doubler)
    first, again = (compiled(lm, log_dir=tmp_path) for _ in range(2))
    assert first.dump_state() == again.dump_state()
    assert first.compile_report.synthesis == again.compile_report.synthesis
    asked = [asked_for(request) for request in lm.engine.requests]
    assert sum("better" not in wanted for wanted in asked) == first.compile_report.synthesis.calls


def test_the_same_seed_compiles_the_same_program_with_any_number_of_threads():
    alone, together = compiled(), compiled(threads=8)
    assert alone.dump_state() == together.dump_state()


def test_a_compiled_program_is_plain_dspy_state(tmp_path):
    program = compiled()
    program.save(tmp_path / "program.json")
    plain = dspy.ChainOfThought("question -> answer")
    plain.load(tmp_path / "program.json")
    assert plain.predict.signature.instructions == program.program.predict.signature.instructions
    assert [dict(demo) for demo in plain.predict.demos] == [dict(demo) for demo in program.program.predict.demos]
    again = ad.Anytime(dspy.ChainOfThought("question -> answer"), (2, 3)).load(tmp_path / "program.json")
    assert again.budgets == (4, 8, 16)


def test_a_compiled_program_may_be_a_part_of_another_and_be_compiled_again():
    program = compiled()
    assert not getattr(program, "_compiled", False)
    assert not getattr(program.program, "_compiled", False)
    assert [name for name, _ in program.named_predictors()] == ["predict"]
    assert compiled(program=program).compile_report.traces == 24


def test_every_predictor_of_a_pipeline_is_shown_its_own_calls():
    def reply(request):
        if prefill_of(request) is None and "double of" not in question_of(request):
            return chat(reasoning="as given", answer=question_of(request).split("[[ ## question ## ]]\n")[1].split()[0])
        return doubler(request) if "double of" in question_of(request) else "unknown"

    program = compiled(scripted_lm(reply), student(Pipeline(2)))
    first, second = program.program.steps
    assert all("double of" in demo["question"] for demo in first.predict.demos)
    assert second.predict.demos
    assert not any("double of" in demo["question"] for demo in second.predict.demos)


def test_a_student_that_runs_once_for_each_budget_is_compiled_too():
    program = ad.Anytime(dspy.ChainOfThought("question -> answer"), (4, 8, 16), answer_tokens=16, mode="contract")
    lm = scripted_lm(doubler)
    report = compiled(lm, program).compile_report
    assert [pair.budget for pair in report.selected] == [4, 8, 16]
    assert report.synthesis.calls + report.judging.calls == len(lm.engine.requests)


def test_the_student_and_the_optimiser_keep_nothing():
    program, pdp = student(), PDP(METRIC, trials=0)
    before = program.dump_state()
    with dspy.context(lm=scripted_lm(doubler)):
        assert pdp.compile(program, trainset=trainset()) is not program
    assert program.dump_state() == before
    assert pdp == PDP(METRIC, trials=0)
    with pytest.raises(FrozenInstanceError):
        pdp.seed = 1


def test_progress_is_told_trace_by_trace():
    seen = []
    compiled(on_trace=seen.append, samples=3)
    assert len(seen) == 12


@pytest.mark.parametrize(
    ("program", "examples", "error", "message"),
    [
        (dspy.ChainOfThought("question -> answer"), trainset(), ProgramError, "wrap it in ad.Anytime"),
        (student(), [], DataError, "trainset is empty"),
        (student(), [dspy.Example(question="?")], DataError, "training example 0 has no inputs"),
    ],
)
def test_what_cannot_be_compiled_is_refused_before_any_call(program, examples, error, message):
    lm = scripted_lm(doubler)
    with pytest.raises(error, match=message):
        compiled(lm, program, examples)
    assert not lm.engine.requests


def test_a_teacher_is_refused():
    with dspy.context(lm=scripted_lm(doubler)), pytest.raises(ProgramError, match="no teacher"):
        PDP(METRIC, trials=0).compile(student(), trainset=trainset(), teacher=student())


def test_without_an_lm_there_is_a_way_out():
    with dspy.context(lm=None), pytest.raises(ModelError, match=r"dspy\.context\(lm="):
        PDP(METRIC, trials=0).compile(student(), trainset=trainset())


def test_a_folder_that_cannot_be_written_is_refused_before_any_call(tmp_path):
    (tmp_path / "file").write_text("")
    lm = scripted_lm(doubler)
    with pytest.raises(RunError, match="cannot write"):
        compiled(lm, log_dir=tmp_path / "file" / "log")
    assert not lm.engine.requests


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples"),
        ({"samples": 1, "trials": 0}, "at least 2 for the paper's recipe"),
        ({"temperature": 0.0}, "temperature"),
        ({"threads": 0}, "threads"),
        ({"judge": "oracle"}, "auto, agreement, pairwise"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options, message):
    with pytest.raises(AnytimeError, match=message):
        PDP(METRIC, **options)


def test_a_bare_quality_function_is_no_metric():
    with pytest.raises(AnytimeError, match="AnytimeIndex"):
        PDP(METRIC.quality)


class Shortest:
    """A judge of one's own: it needs no labels and likes short answers."""

    name = "shortest"

    def reliability(self, groups):
        return Reliability(self.name, 1.0, "counting does not err")

    def scores(self, groups):
        return Judgement(
            self.name,
            tuple(
                tuple(
                    tuple(1 / (1 + len(str(point.prediction.answer))) for point in trace.checkpoints)
                    for trace in group.traces
                )
                for group in groups
            ),
        )


@pytest.mark.local_lm
def test_a_real_model_compiles_and_its_program_runs_without_this_library(tmp_path):
    try:
        lm = local_lm("smollm2-135m-instruct", temperature=0.0)
    except ModelError as error:
        pytest.skip(str(error))
    questions = ("What is 2 + 3?", "Is the sun hot or cold?")
    examples = [dspy.Example(question=question).with_inputs("question") for question in questions]
    program = ad.Anytime(dspy.ChainOfThought("question -> answer"), (16, 32), answer_tokens=16)
    with dspy.context(lm=lm):
        done = PDP(METRIC, samples=3, judge=Shortest(), trials=0, log_dir=tmp_path).compile(program, trainset=examples)
        report = done.compile_report
        assert report.traces == 6
        assert {pair.budget for pair in report.selected} <= {16, 32}
        assert report.selected
        for demo in done.program.predict.demos:
            assert set(demo) == {"question", "reasoning", "answer"}
        done.save(tmp_path / "program.json")
        plain = dspy.ChainOfThought("question -> answer")
        plain.load(tmp_path / "program.json")
        assert len(plain.predict.demos) == len(report.selected)
        assert ad.Anytime(plain, (16,), answer_tokens=16)(question="What is 1 + 1?").checkpoints[0].answered
