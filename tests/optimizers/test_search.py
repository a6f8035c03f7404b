from __future__ import annotations

import json
from itertools import pairwise

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.checkpoint import Usage
from anytime_dspy.errors import AnytimeError, DataError, RunError
from anytime_dspy.optimizers import PDP, Limits
from anytime_dspy.optimizers.prompting import HEADING
from anytime_dspy.optimizers.search import best_trial
from anytime_dspy.optimizers.space import Candidate
from anytime_dspy.optimizers.study import Trial
from tests.fakes.programs import Pipeline
from tests.fakes.prompts import asked_for, prompt_of, question_of
from tests.fakes.scripted import scripted_lm
from tests.fakes.simulated import PLANTED, USELESS, examples, simulated, skill, skill_of

METRIC = ad.AnytimeIndex(lambda example, prediction: float(str(prediction.answer) == example.answer))
TRAIN, VALIDATION = examples(1, 6), examples(100, 8)
FULL = 4  # demonstrations


def student(program=None):
    return ad.Anytime(program or dspy.ChainOfThought("question -> answer"), (16, 24, 32, 40), answer_tokens=8)


def compiled(lm=None, *, program=None, trainset=TRAIN, valset=VALIDATION, on_trial=None, **options):
    with dspy.context(lm=lm or scripted_lm(simulated)):
        return PDP(METRIC, **{"trials": 6, "samples": 3, **options}).compile(
            program or student(), trainset=trainset, valset=valset, on_trial=on_trial
        )


def best_skill(report, *, contrast):
    """Of all candidates that the search could choose from."""
    told = [text["predict"] for text in report.rounds[0].instructions]
    return max(skill(f"{text}\n{HEADING}" if contrast else text, FULL) for text in told)


def test_the_planted_best_candidate_is_found_in_nine_of_ten_seeds():
    found = 0
    for seed in range(10):
        program = compiled(trials=20, seed=seed)
        found += skill_of(program) == pytest.approx(best_skill(program.compile_report, contrast=True))
    assert found >= 9


def test_without_contrast_the_search_never_shows_any():
    program = compiled(contrastive=False, trials=12)
    trials = program.compile_report.rounds[0].trials
    assert not any(trial.candidate.contrast for trial in trials)
    assert HEADING not in program.program.predict.signature.instructions
    assert skill_of(program) <= best_skill(program.compile_report, contrast=False)


def test_trial_0_is_the_student_and_trial_1_the_papers_recipe():
    program = compiled(trials=2)
    first, second = program.compile_report.rounds[0].trials
    assert first.candidate == Candidate()
    assert second.candidate == Candidate(0, 0, 4, True)
    assert first.score == program.compile_report.search.student
    recipe = compiled(trials=0)
    assert recipe.compile_report.search is None
    if second.score > first.score:
        assert program.dump_state() == recipe.dump_state()


def test_the_next_trials_are_the_chosen_traces_alone_and_the_style_whose_traces_were_judged_best():
    program = compiled(trials=5, judge="metric")
    (only,) = program.compile_report.rounds
    assert max(only.styles, key=only.styles.get) == "terse"  # worth more than the others by the engine's formula
    chosen, shown, alone = (trial.candidate for trial in only.trials[2:])
    assert chosen == Candidate(0, chosen.pairs, 4)
    assert "one short line" in only.instructions[shown.instructions]["predict"]
    assert shown == Candidate(shown.instructions, chosen.pairs, 4)
    assert alone == Candidate(shown.instructions)


def test_no_candidate_is_tried_twice_and_the_search_ends_when_all_were():
    program = compiled(trials=500, trainset=examples(1, 2), valset=VALIDATION[:2], samples=2, seed=3)
    trials = program.compile_report.rounds[0].trials
    tried = [trial.candidate for trial in trials]
    assert len(set(tried)) == len(tried) < 500
    assert skill_of(program) == pytest.approx(max(skill_of(one["program"]) for one in program.candidate_programs))


def test_the_program_is_what_dspys_optimisers_leave(tmp_path):
    program = compiled(log_dir=tmp_path)
    assert not getattr(program, "_compiled", False)
    assert program.score == pytest.approx(100 * program.compile_report.search.score, abs=0.01)
    scores = [one["score"] for one in program.candidate_programs]
    assert scores == sorted(scores, reverse=True)
    assert program.candidate_programs[0]["program"].dump_state() == program.dump_state()
    assert set(program.trial_logs) == set(range(6))
    assert [name for name, _ in program.named_predictors()] == ["predict"]
    program.save(tmp_path / "program.json")
    plain = dspy.ChainOfThought("question -> answer")
    plain.load(tmp_path / "program.json")
    assert plain.predict.signature.instructions == program.program.predict.signature.instructions


def test_the_report_says_what_was_tried_and_spent(tmp_path):
    lm = scripted_lm(simulated)
    report = compiled(lm, log_dir=tmp_path).compile_report
    (only,) = report.rounds
    assert len(only.trials) == report.search.trials == 6
    assert report.search.examples == len(report.search.scores) == len(VALIDATION)
    assert report.synthesis.calls + report.judging.calls + report.search.usage.calls == len(lm.engine.requests)
    assert only.writing.calls > 0
    written = json.loads((tmp_path / "report.json").read_text())
    assert len(written["rounds"][0]["trials"]) == 6
    assert written["search"]["score"] == report.search.score


def test_a_compile_that_is_done_costs_nothing_again_and_more_trials_go_on(tmp_path):
    first, again, whole = (scripted_lm(simulated) for _ in range(3))
    for lm in (again, whole):
        lm.model = first.model
    done = compiled(first, log_dir=tmp_path / "one", trials=3)
    assert compiled(again, log_dir=tmp_path / "one", trials=3).dump_state() == done.dump_state()
    assert not again.engine.requests
    longer = compiled(again, log_dir=tmp_path / "one", trials=5).compile_report
    at_once = compiled(whole, log_dir=tmp_path / "two", trials=5).compile_report
    assert [(one.candidate, one.scores) for one in longer.rounds[0].trials] == [
        (one.candidate, one.scores) for one in at_once.rounds[0].trials
    ]


def test_threads_change_nothing():
    alone, together = compiled(), compiled(threads=4)
    assert alone.dump_state() == together.dump_state()
    assert [one.scores for one in alone.compile_report.rounds[0].trials] == [
        one.scores for one in together.compile_report.rounds[0].trials
    ]


def test_a_trial_that_dies_of_lm_errors_failed_and_is_no_score_of_0():
    def moody(request):
        if "the sum of 103" in question_of(request) and PLANTED in prompt_of(request):
            raise dspy.lm15.ServerError("overloaded")
        return simulated(request)

    report = compiled(scripted_lm(moody, num_retries=0), trials=12).compile_report
    failed = [trial for trial in report.rounds[0].trials if trial.state == "failed"]
    assert failed
    for trial in failed:
        assert trial.score is None
        assert "overloaded" in trial.error
        assert PLANTED in report.rounds[0].instructions[trial.candidate.instructions]["predict"]


def test_where_no_trial_can_be_measured_the_lms_error_is_told():
    def down(request):
        if "the sum of 10" in question_of(request):
            raise dspy.lm15.ServerError("overloaded")
        return simulated(request)

    with pytest.raises(AnytimeError, match="overloaded"):
        compiled(scripted_lm(down, num_retries=0))


def test_bad_candidates_are_given_up_early():
    report = compiled(valset=examples(100, 24), trials=10).compile_report
    pruned = [trial for trial in report.rounds[0].trials if trial.state == "pruned"]
    assert pruned
    assert all(len(trial.scores) < 24 for trial in pruned)
    assert max(trial.score for trial in pruned) < report.search.score


@pytest.mark.parametrize(("limits", "name"), [(Limits(calls=120), "calls"), (Limits(tokens=20_000), "tokens")])
def test_a_limit_stops_the_search_and_what_was_found_is_returned(limits, name):
    lm = scripted_lm(simulated)
    report = compiled(lm, limits=limits, trials=50).compile_report
    assert report.search.stopped == name
    assert 1 <= report.search.trials < 50


def test_a_limit_that_leaves_nothing_measured_is_told():
    with pytest.raises(AnytimeError, match="limit of seconds"):
        compiled(limits=Limits(seconds=1e-9))


@pytest.mark.parametrize("options", [{"calls": 0}, {"dollars": -1.0}])
def test_limits_that_allow_nothing_are_refused(options):
    with pytest.raises(AnytimeError, match="above 0"):
        Limits(**options)


def test_on_a_tie_fewer_prompt_tokens_win():
    def trial(number, score, tokens, state="complete"):
        return Trial(number, Candidate(number), state, (score,), tokens, Usage())

    assert best_trial([trial(0, 0.5, 90), trial(1, 0.5, 80), trial(2, 0.4, 10), trial(3, 0.9, 1, "pruned")]).number == 1
    assert best_trial([trial(0, 0.5, 80), trial(1, 0.5 + 1e-12, 80)]).number == 0
    assert best_trial([]) is None


def test_progress_is_told():
    seen = []
    program = compiled(trials=3, on_trial=seen.append)
    assert [one.trial for one in seen] == sorted(one.trial for one in seen)
    last = seen[-1]
    assert (last.trials, last.examples, last.of, last.seconds_left) == (3, 8, 8, 0.0)
    assert last.best == program.compile_report.search.score
    assert last.spent.calls > seen[0].spent.calls > 0


def test_without_a_valset_a_part_of_the_trainset_validates_and_no_pair_is_of_it(caplog):
    with caplog.at_level("INFO", logger="anytime_dspy"):
        report = compiled(trainset=examples(1, 12), valset=None, log_dir=None).compile_report
    assert "6 of 12 training examples" in caplog.text
    assert report.search.examples == 6
    assert report.traces == 18


def test_pairs_of_validation_examples_are_never_shown():
    shared = compiled(trainset=TRAIN, valset=[*TRAIN[:4], *VALIDATION], trials=8)
    asked = {example.question for example in TRAIN[:4]}
    assert not any(
        demo["question"] in asked for one in shared.candidate_programs for demo in one["program"].program.predict.demos
    )
    with pytest.raises(DataError, match="valset holds too"):
        compiled(trainset=TRAIN, valset=TRAIN)


def test_rounds_sample_the_best_so_far_until_that_no_longer_helps():
    report = compiled(rounds=4, trials=4).compile_report
    scores = [one.score for one in report.rounds]
    assert 2 <= len(scores) <= 4
    assert all(later > earlier for earlier, later in pairwise(scores[:-1]))
    assert report.search.score == max(scores)
    assert report.rounds[1].trials[1].score == scores[0]  # what was best is a start of the next round


def test_every_predictor_gets_instructions_and_pairs_of_its_own():
    program = compiled(program=student(Pipeline(2)), trials=3)
    for text in program.compile_report.rounds[0].instructions:
        assert set(text) == {"steps[0].predict", "steps[1].predict"}


def test_another_compiles_folder_is_refused_before_any_call(tmp_path):
    compiled(log_dir=tmp_path, trials=2)
    lm = scripted_lm(simulated)
    for changed in ({"seed": 1}, {"valset": VALIDATION[1:]}, {"contrastive": False}):
        with pytest.raises(RunError, match="another run"):
            compiled(lm, log_dir=tmp_path, **changed)
    assert not lm.engine.requests


def test_a_metric_outside_its_scale_is_told_at_the_first_trace():
    lm = scripted_lm(simulated)
    with dspy.context(lm=lm), pytest.raises(AnytimeError, match=r"in \[0, 1\]"):
        PDP(ad.AnytimeIndex(lambda example, prediction: 7.0), trials=3).compile(student(), trainset=TRAIN)
    assert len(lm.engine.requests) <= 2 * (1 + len(student().budgets))  # the next run had begun
    with dspy.context(lm=lm), pytest.raises(AnytimeError, match="q_max"):
        PDP(ad.AnytimeIndex(METRIC.quality, q_max=0.0)).compile(student(), trainset=TRAIN)


@pytest.mark.parametrize("options", [{"trials": -1}, {"rounds": 0}, {"rounds": 2, "trials": 0}])
def test_a_search_that_cannot_be_is_refused(options):
    with pytest.raises(AnytimeError, match=r"trials|rounds"):
        PDP(METRIC, **options)


def test_one_training_example_cannot_be_split():
    with pytest.raises(DataError, match="valset"):
        compiled(trainset=TRAIN[:1], valset=None)


def test_a_journal_that_a_kill_tore_is_mended(tmp_path):
    first = scripted_lm(simulated)
    done = compiled(first, log_dir=tmp_path, trials=2)
    journal = tmp_path / "study.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + whole.splitlines()[-1][:20])
    lm = scripted_lm(simulated)
    lm.model = first.model
    again = compiled(lm, log_dir=tmp_path, trials=2)
    assert again.dump_state() == done.dump_state()
    assert journal.read_bytes().startswith(whole)
    assert not lm.engine.requests


def test_the_lm_proposes_styles_where_there_are_samples_for_them():
    lm = scripted_lm(simulated)
    report = compiled(lm, samples=4, trials=1).compile_report
    assert any("sentences" in asked_for(request) for request in lm.engine.requests)
    assert any(USELESS in text["predict"] for text in report.rounds[0].instructions)
    few = scripted_lm(simulated)
    compiled(few, samples=3, trials=1)
    assert not any("sentences" in asked_for(request) for request in few.engine.requests)
