"""A whole compile that races, on the simulated engine: no figure here is one of a language model."""

from __future__ import annotations

import json
import re
from statistics import fmean

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.errors import AnytimeError, DataError, ProgramError, RunError
from anytime_dspy.optimizers import PDP, Limits, pairs_dataset, read_pairs
from anytime_dspy.optimizers.pdp.round_run import RoundRun
from anytime_dspy.testing import asked_for, chat, prefill_of, scripted_lm
from tests.fakes.programs import Pipeline
from tests.fakes.simulated import SHORT, examples, simulated, skill_of

METRIC = ad.AnytimeIndex(lambda example, prediction: float(str(prediction.answer) == example.answer))
TRAIN, VALIDATION = examples(1, 10), examples(100, 16)


def student(program=None):
    return ad.Anytime(program or dspy.ChainOfThought("question -> answer"), (16, 24, 32, 40), answer_tokens=8)


def compiled(lm=None, *, program=None, trainset=TRAIN, valset=None, on_trial=None, on_squeezed=None, **options):
    options = {"trials": 6, "samples": 3, "judge": "metric", "rounds": 1, **options}
    with dspy.context(lm=lm or scripted_lm(simulated)):
        return PDP(METRIC, **options).compile(
            program or student(), trainset=trainset, valset=valset, on_trial=on_trial, on_squeezed=on_squeezed
        )


def test_the_student_is_shown_squeezed_traces_and_gains_by_it():
    program = compiled()
    demos = program.program.predict.demos
    assert demos
    assert all(len(demo["reasoning"].split()) <= SHORT for demo in demos)
    assert skill_of(program) > skill_of(student())
    found = program.compile_report.search
    assert found.winner.startswith(("squeezed", "composed"))
    assert 0 < found.gain < found.raw
    assert found.chance >= 0.9
    assert found.winner in found.verdict


@pytest.mark.parametrize("judge", ["agreement", "metric"])
def test_every_judge_says_what_is_squeezed(judge):
    seen = []
    program = compiled(judge=judge, on_squeezed=seen.append)
    assert len(seen) == program.compile_report.squeezed > 0
    (only,) = program.compile_report.rounds
    before, after = only.tokens
    assert after < 0.8 * before


def test_a_round_samples_the_leader_of_the_one_before_and_not_what_it_shows(tmp_path):
    program = compiled(log_dir=tmp_path, trainset=examples(1, 24), rounds=2)

    def traces(name):
        lines = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()[1:]]
        return [line["checkpoints"][-1] for line in lines]

    first, second = traces("traces.jsonl"), traces("traces-1.jsonl")
    assert len(first) == 3 * 24
    assert 24 - 6 <= len(second) < 24
    before, after = (fmean(point["reasoning_tokens"] for point in wave) for wave in (first, second))
    assert after < 0.8 * before
    scouted, last = program.compile_report.rounds
    assert scouted.race.heats == last.race.heats
    assert max(len(one.scores) for one in scouted.race.standings) == 16
    assert len(last.race.student.scores) >= 24
    assert program.compile_report.failed == 0


def test_a_race_that_scouted_is_run_to_its_end_where_the_next_round_gives_nothing(tmp_path, monkeypatch):
    lm = scripted_lm(simulated)

    def fails_later(self):
        whole(self)
        if self.number:
            raise AnytimeError("nothing came")

    whole = RoundRun.gather
    monkeypatch.setattr(RoundRun, "gather", fails_later)
    program = compiled(lm, log_dir=tmp_path, trainset=examples(1, 24), rounds=2)
    (only,) = program.compile_report.rounds
    assert len(only.race.student.scores) >= 24
    requests = len(lm.engine.requests)
    assert program.compile_report.usage.calls >= requests, "the round that failed was paid for too"
    assert any(standing.kind.startswith("composed") for standing in only.race.standings)
    (tmp_path / "study.jsonl").unlink()
    compiled(lm, log_dir=tmp_path, trainset=examples(1, 24), rounds=2)
    assert len(lm.engine.requests) == requests, "every call of the race was kept"


def test_a_program_that_others_made_races_in_every_round(tmp_path):
    others = student()
    others.predictors()[0].demos = [
        {"question": one.question, "reasoning": "short", "answer": one.answer} for one in TRAIN[:4]
    ]
    program = compiled(log_dir=tmp_path, programs=[("theirs", others)], rounds=2)
    kinds = [[standing.kind for standing in one.race.standings] for one in program.compile_report.rounds]
    assert all("theirs" in one for one in kinds)


def test_no_call_of_a_second_round_goes_uncounted(tmp_path):
    """The leader's first samples are counted with the race that ran them, and once more with the sampling."""
    lm = scripted_lm(simulated)
    report = compiled(lm, log_dir=tmp_path, trainset=examples(1, 24), rounds=2).compile_report
    spent = report.synthesis.calls + report.judging.calls + report.search.usage.calls
    assert spent >= len(lm.engine.requests)


def test_traces_are_sampled_on_no_more_examples_than_wanted(tmp_path):
    program = compiled(log_dir=tmp_path, trainset=[*TRAIN, *VALIDATION], sampled=len(TRAIN), examples=len(TRAIN))
    assert {pair.example_index for pair in read_pairs(tmp_path / "pairs.jsonl")} <= set(range(len(TRAIN)))
    student = program.compile_report.rounds[0].race.student
    assert len(student.scores) in (len(TRAIN), 2 * len(TRAIN))


def test_squeezed_pairs_are_marked_and_can_be_left_out(tmp_path):
    compiled(log_dir=tmp_path, samples=6)
    pairs = read_pairs(tmp_path / "pairs.jsonl")
    squeezed = [pair for pair in pairs if pair.squeezed]
    assert squeezed
    for pair in squeezed:
        assert pair.chosen.reasoning in pair.chosen.reasoning
        assert pair.chosen.reasoning_tokens <= pair.budget
        assert pair.gap > 0 or pair.selected
    assert any(pair.selected for pair in squeezed)
    whole = pairs_dataset(pairs, squeezed=False)
    assert 0 < len(whole) < len(pairs_dataset(pairs))


def test_the_program_is_what_dspys_optimisers_leave(tmp_path):
    program = compiled(log_dir=tmp_path)
    report = program.compile_report
    assert not getattr(program, "_compiled", False)
    assert program.score == pytest.approx(100 * report.search.score, abs=0.01)
    scores = [one["score"] for one in program.candidate_programs]
    assert scores == sorted(scores, reverse=True)
    assert any(one["program"].dump_state() == program.dump_state() for one in program.candidate_programs)
    assert set(program.trial_logs) == set(range(report.search.candidates))
    program.save(tmp_path / "program.json")
    plain = dspy.ChainOfThought("question -> answer")
    plain.load(tmp_path / "program.json")
    assert plain.predict.demos == program.program.predict.demos


def test_the_report_says_what_raced_and_what_it_cost(tmp_path):
    lm = scripted_lm(simulated)
    report = compiled(lm, log_dir=tmp_path).compile_report
    spent = report.synthesis.calls + report.judging.calls + report.search.usage.calls
    assert spent == len(lm.engine.requests)
    written = json.loads((tmp_path / "report.json").read_text())
    (only,) = written["rounds"]
    assert [one["number"] for one in only["race"]["standings"]] == list(range(report.search.candidates))
    assert written["search"]["verdict"] == report.search.verdict


@pytest.mark.slow
def test_a_compile_that_is_done_costs_nothing_again_and_a_limit_is_gone_on_from(tmp_path):
    first, again = scripted_lm(simulated), scripted_lm(simulated)
    again.model = first.model
    calls = compiled().compile_report
    gathered = calls.synthesis.calls + calls.judging.calls
    stopped = compiled(first, log_dir=tmp_path, limits=Limits(calls=gathered + 40)).compile_report
    assert stopped.search.stopped == "calls"
    assert "stopped by its limit of calls" in stopped.search.verdict
    whole = compiled(first, log_dir=tmp_path)
    assert whole.compile_report.search.stopped is None
    assert compiled(again, log_dir=tmp_path).dump_state() == whole.dump_state()
    assert not again.engine.requests
    fresh = compiled()
    assert fresh.dump_state() == whole.dump_state()


def test_threads_change_nothing():
    alone, together = compiled(), compiled(threads=4)
    assert alone.dump_state() == together.dump_state()
    for one, other in zip(
        alone.compile_report.rounds[0].race.standings, together.compile_report.rounds[0].race.standings, strict=True
    ):
        assert one.scores == other.scores


def test_a_limit_that_leaves_nothing_measured_is_told():
    with pytest.raises(AnytimeError, match="limit of seconds"):
        compiled(limits=Limits(seconds=1e-9))


@pytest.mark.parametrize("options", [{"calls": 0}, {"dollars": -1.0}])
def test_limits_that_allow_nothing_are_refused(options):
    with pytest.raises(AnytimeError, match="above 0"):
        Limits(**options)


def test_examples_of_the_valset_are_measured_on_and_those_of_the_trainset_shown():
    program = compiled(valset=VALIDATION)
    report = program.compile_report
    assert report.search.examples == len(VALIDATION)
    asked = {example.question for example in VALIDATION}
    assert not any(demo["question"] in asked for demo in program.program.predict.demos)


@pytest.mark.slow
def test_a_second_round_samples_the_winner_and_races_against_it():
    program = compiled(rounds=2)
    first, second = program.compile_report.rounds
    assert second.race.standings[1].scores  # the winner of the first round
    assert second.race.standings[0].scores == first.race.standings[0].scores
    assert skill_of(program) >= skill_of(compiled(rounds=1))


def test_rounds_are_two_by_default_where_labels_judge_and_one_where_votes_do():
    assert len(compiled(rounds=None).compile_report.rounds) == 2
    assert len(compiled(rounds=None, judge="agreement").compile_report.rounds) == 1


def test_every_predictor_gets_demonstrations_of_its_own():
    program = compiled(program=student(Pipeline(2)), trials=3)
    report = program.compile_report
    assert report.squeezed > 0
    for one in program.candidate_programs:
        shown = [len(predictor.demos) for predictor in one["program"].predictors()]
        assert len(set(shown)) == 1


def test_other_optimisers_programs_race_too():
    taught = student()
    taught.program.predict.demos = [
        {"question": f"the sum of {n} and 1 ?", "reasoning": f"{n} + 1 equals {n + 1}", "answer": str(n + 1)}
        for n in range(500, 506)
    ]
    report = compiled(programs=[("MIPROv2", taught)]).compile_report
    raced = {one.kind: one for one in report.rounds[0].race.standings}
    assert raced["MIPROv2"].score > raced["student"].score


def test_bad_candidates_and_too_few_examples_are_refused_before_any_call():
    lm = scripted_lm(simulated)
    other = ad.Anytime(dspy.ChainOfThought("text -> label"), (16, 24, 32, 40))
    for programs in ([("GEPA", other)], [("GEPA", dspy.ChainOfThought("question -> answer"))]):
        with pytest.raises(ProgramError, match="GEPA"):
            compiled(lm, programs=programs)
    with pytest.raises(ProgramError, match="budgets"):
        compiled(lm, programs=[("GEPA", ad.Anytime(dspy.ChainOfThought("question -> answer"), (8, 16)))])
    with pytest.raises(DataError, match="8 examples at least, and there are 4"):
        compiled(lm, trainset=TRAIN[:4])
    assert not lm.engine.requests


def test_an_example_that_the_student_shows_is_nobodys_to_be_measured_on():
    taught = student()
    taught.program.predict.demos = [
        {"question": one.question, "reasoning": "so", "answer": one.answer} for one in TRAIN[:2]
    ]
    assert compiled(program=taught).compile_report.search.examples == len(TRAIN) - 2
    lm = scripted_lm(simulated)
    with pytest.raises(DataError, match="there are 7 beside 2 that the student shows"):
        compiled(lm, program=taught, trainset=TRAIN[:9])
    assert not lm.engine.requests


@pytest.mark.parametrize(
    "options", [{"trials": -1}, {"trials": 1}, {"rounds": 0}, {"rounds": 2, "trials": 0}, {"examples": 3}]
)
def test_a_race_that_cannot_be_is_refused(options):
    with pytest.raises(AnytimeError, match=r"trials|rounds|examples"):
        PDP(METRIC, **options)


def test_another_compiles_folder_is_refused_before_any_call(tmp_path):
    compiled(log_dir=tmp_path, trials=2)
    lm = scripted_lm(simulated)
    for changed in ({"seed": 1}, {"valset": VALIDATION}, {"contrastive": False}):
        with pytest.raises(RunError, match="another run"):
            compiled(lm, log_dir=tmp_path, **changed)
    assert not lm.engine.requests


def test_a_metric_that_is_constant_ends_the_race_after_a_heat():
    lm = scripted_lm(simulated)
    with dspy.context(lm=lm):
        report = (
            PDP(ad.AnytimeIndex(lambda example, prediction: 0.5), samples=2, judge="agreement", trials=6)
            .compile(student(), trainset=examples(1, 24))
            .compile_report
        )
    assert report.rounds[0].race.level
    assert all(len(one.scores) <= 8 for one in report.rounds[0].race.standings)
    assert "nothing tells them apart" in report.search.verdict


def test_an_lm_that_answers_everything_alike_has_no_reliable_vote():
    def same(request):
        if prefill_of(request) is not None:
            return "7"
        if "better" in asked_for(request):
            return chat(better="A")
        return chat(reasoning="It is seven, as always.", answer="7")

    with pytest.raises(AnytimeError, match="no judge of the program's own traces is reliable"):
        compiled(scripted_lm(same), judge="auto")


def test_where_nothing_can_be_squeezed_whole_traces_race_and_that_is_said(caplog):
    def wordless(request):
        """Its reasoning holds no answer, and so nothing that could be shown by itself."""
        if prefill_of(request) is not None or "answer" not in asked_for(request):
            return simulated(request)
        return re.sub(r"\d+ \+ \d+ equals \d+", "done", simulated(request))

    report = compiled(scripted_lm(wordless)).compile_report
    assert "whole traces, instructions and, where" in caplog.text
    assert not any(one.kind.startswith("squeezed") for one in report.rounds[0].race.standings)


def test_a_journal_that_a_kill_tore_is_mended(tmp_path):
    first = scripted_lm(simulated)
    done = compiled(first, log_dir=tmp_path, trials=2)
    journal = tmp_path / "study.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + whole.splitlines()[-1][:20])
    lm = scripted_lm(simulated)
    lm.model = first.model
    assert compiled(lm, log_dir=tmp_path, trials=2).dump_state() == done.dump_state()
    assert journal.read_bytes().startswith(whole)
    assert not lm.engine.requests


class Renaming(dspy.Module):
    """Its predictor's fields are not its own."""

    def __init__(self, twice=False):
        super().__init__()
        self.say = dspy.ChainOfThought("question -> answer")
        self.twice = twice

    def forward(self, ask, politely="please"):
        if self.twice:
            self.say(question=f"{ask} ")
        return dspy.Prediction(total=self.say(question=ask).answer)


@pytest.mark.parametrize("twice", [False, True])
def test_a_program_may_change_its_inputs_and_its_answers_where_labels_judge(twice):
    trainset = [dspy.Example(ask=one.question, total=one.answer).with_inputs("ask") for one in examples(1, 10)]
    metric = ad.AnytimeIndex(lambda example, prediction: float(str(prediction.total) == example.total))
    student = ad.Anytime(Renaming(twice), (16, 24, 32, 40), answer_tokens=8)
    pdp = PDP(metric, judge="metric", samples=3, trials=6, rounds=1, answer_key=lambda prediction: prediction.total)
    with dspy.context(lm=scripted_lm(simulated)):
        program = pdp.compile(student, trainset=(one for one in trainset))
    assert program.compile_report.squeezed > 0
    assert program.compile_report.search.gain > 0 or twice
    assert program.program.say.predict.demos or twice


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"limits": {"calls": 9}}, "limits must be Limits"),
        ({"limits": 3}, "limits must be Limits"),
        ({"answer_key": "y"}, "answer_key must be a function"),
        ({"trials": "3"}, "trials must be at least 0, and a whole number"),
        ({"samples": 2.5}, "samples must be at least 1, and a whole number"),
        ({"temperature": "warm"}, "temperature must be above 0"),
        ({"programs": [student()]}, "programs must be pairs"),
    ],
)
def test_options_of_another_kind_are_refused_before_any_call(options, complaint):
    lm = scripted_lm(simulated)
    with pytest.raises(AnytimeError, match=complaint):
        compiled(lm, **options)
    assert not lm.engine.requests


def test_limits_and_metrics_of_another_kind_are_refused():
    with pytest.raises(AnytimeError, match="limit of calls must be above 0, got 'x'"):
        Limits(calls="x")
    with pytest.raises(AnytimeError, match="quality must be a function"):
        ad.AnytimeIndex("exact match")
    with pytest.raises(ad.BudgetError, match="at most 1,000,000,000,000 tokens"):
        ad.Anytime(dspy.Predict("q -> y"), (16, 10**24))
