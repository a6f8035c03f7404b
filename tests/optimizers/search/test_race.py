from __future__ import annotations

import random
import time
from dataclasses import replace
from itertools import pairwise
from statistics import fmean

import dspy
import pytest
from dspy.utils.callback import BaseCallback
from hypothesis import given
from hypothesis import strategies as st

from anytime_dspy.checkpoint import Usage
from anytime_dspy.errors import AnytimeError
from anytime_dspy.optimizers import Limits
from anytime_dspy.optimizers.pdp.report import Round, searched
from anytime_dspy.optimizers.search.pool import Pool
from anytime_dspy.optimizers.search.race import Race, heat_ends
from anytime_dspy.optimizers.search.space import Candidate
from anytime_dspy.optimizers.search.trial_store import TrialStore
from anytime_dspy.optimizers.search.trials import SpendingLimit, Validation
from anytime_dspy.optimizers.search.verdict import verdict
from tests.fakes.scored import METRIC, ScoredProgram, questions, shown

DEMOS = [f"shown {n}" for n in range(12)]
POOL = Pool([shown(question) for question in DEMOS])


def raced(
    effects,
    *,
    seed=0,
    examples=64,
    trials=16,
    store=None,
    pool=POOL,
    on_trial=None,
    base=0.4,
    overtime=0,
    threads=2,
    round=0,
    sure=0.9,
):
    student = ScoredProgram(effects, base, seed)
    return Race(
        student,
        pool.candidates(trials, seed),
        pool.squeezed,
        replace(validation(examples, overtime, threads), sure=sure),
        store or TrialStore(None, "race"),
        SpendingLimit(Limits(), Usage(), time.monotonic()),
        round=round,
        on_trial=on_trial,
    ).run()


def validation(examples, overtime, threads):
    if not isinstance(examples, int):
        return Validation(examples, METRIC, threads)
    asked = questions(examples + overtime)
    return Validation(asked[:examples], METRIC, threads, asked[examples:])


def sweeps(done):
    return sum(len(one.scores) for one in done.report.standings)


@pytest.mark.slow
def test_where_no_candidate_is_better_the_student_is_returned_in_nine_of_ten_seeds():
    equal = [raced({}, seed=seed).report.winner for seed in range(30)]
    assert equal.count(0) >= 27
    worse = [raced(dict.fromkeys(DEMOS, -0.02), seed=seed).report.winner for seed in range(10)]
    assert worse.count(0) >= 9


@pytest.mark.slow
def test_candidates_that_all_gain_alike_are_found():
    """Their likeness is no evidence of chance: before it had a hypothesis of its own, 6 of these 12 were found."""
    alike = dict.fromkeys(DEMOS, 0.03)
    found = [raced(alike, seed=seed, overtime=64).report.winner > 0 for seed in range(12)]
    assert sum(found) >= 10


@pytest.mark.slow
def test_a_planted_demonstration_is_found_at_a_third_of_the_sweeps():
    found, spent = 0, []
    for seed in range(10):
        good = random.Random(seed).sample(DEMOS, 3)
        done = raced(dict.fromkeys(good, 0.15), seed=seed, base=0.3)
        spent.append(sweeps(done))
        found += len({pair.inputs["question"] for pair in done.winner.pairs} & set(good)) >= 2
    assert found >= 9
    assert fmean(spent) < 64 * 16 / 2


def test_composed_sets_hold_demonstrations_that_never_stood_together():
    good = {"shown 1": 0.2, "shown 5": 0.2, "shown 9": 0.2}
    done = raced(good, seed=3, base=0.2)
    composed = [one for one in done.candidates if one.kind == "composed"]
    assert composed
    assert any(len({p.inputs["question"] for p in one.pairs} & set(good)) >= 2 for one in composed)


@pytest.mark.slow
def test_the_gain_that_is_reported_is_nearer_to_the_truth_than_the_one_that_was_seen():
    raw, shrunk = [], []
    for seed in range(20):
        done = raced({}, seed=seed, examples=24)
        leader = done.report.standings[done.report.leader]
        raw.append(leader.raw)
        shrunk.append(leader.gain.mean)
    assert abs(fmean(shrunk)) < abs(fmean(raw)) / 2


@pytest.mark.slow
def test_a_leader_that_is_not_sure_runs_overtime_with_the_student_alone():
    settled = {True: 0, False: 0}
    for seed in range(24):
        short = raced({"shown 3": 0.2, "shown 4": 0.2}, seed=seed, examples=24)
        done = raced({"shown 3": 0.2, "shown 4": 0.2}, seed=seed, examples=24, overtime=23)
        ran = [one for one in done.report.standings if len(one.scores) > 24]
        if short.report.winner or short.report.standings[short.report.leader].gain.chance <= 0.5:
            assert done.report == short.report
            continue
        assert {one.number for one in ran} == {0, short.report.leader}
        assert done.report.heats == (*short.report.heats, 47)
        assert len(done.report.student.scores) == 47
        settled[done.report.winner > 0] += 1
    assert settled[True] >= 2


@pytest.mark.slow
def test_a_full_overtime_is_run_by_finalists_and_finds_better_ones():
    """The true gain of the winner, with as many further examples and without: the best candidates differ by chance."""
    effects = {question: 0.05 * (number % 3) for number, question in enumerate(DEMOS)}

    def truth(done):
        return sum(effects[pair.inputs["question"]] for pair in done.winner.pairs)

    short, whole = [], []
    for seed in range(24):
        done = raced(effects, seed=seed, examples=24, overtime=24, base=0.2)
        finalists = [one for one in done.report.standings if len(one.scores) > 24]
        assert len(finalists) == 4
        assert done.report.winner in {one.number for one in finalists}
        whole.append(truth(done))
        short.append(truth(raced(effects, seed=seed, examples=24, base=0.2)))
    assert fmean(whole) > fmean(short)


@pytest.mark.slow
def test_a_leader_that_the_finals_leave_unsure_runs_what_examples_there_are_left_alone():
    effects = dict.fromkeys(DEMOS, 0.02)
    found = {24: 0, 72: 0}
    for seed in range(16):
        final, longer = (raced(effects, seed=seed, examples=24, overtime=count) for count in found)
        leader = final.report.standings[final.report.leader]
        found[24] += final.report.winner > 0
        found[72] += longer.report.winner > 0
        if final.report.heats[-1] < 48 or not 0.5 < leader.gain.chance < 0.9:
            assert longer.report == final.report
            continue
        assert longer.report.heats == (*final.report.heats, 96)
        ran = [one.number for one in longer.report.standings if max(one.scores, default=0) >= 48]
        assert ran == [0, leader.number]
    assert found[72] > found[24]


def test_a_later_round_begins_with_examples_that_chose_nothing():
    first, second = (raced({}, seed=1, examples=32, trials=4, round=number) for number in (0, 1))
    ran = [
        min((list(one.scores) for one in done.report.standings if one.heats == 1), key=len) for done in (first, second)
    ]
    assert set(ran[0]) <= set(range(8))
    assert set(ran[1]) <= set(range(16, 24))
    assert len(second.report.student.scores) == 32


@pytest.mark.slow
def test_overtime_returns_no_more_candidates_that_are_no_better():
    equal = [raced({}, seed=seed, examples=32, overtime=32).report.winner for seed in range(30)]
    assert equal.count(0) >= 27


def test_all_meet_the_same_examples_and_the_best_third_goes_on_after_each_heat():
    done = raced({"shown 0": 0.3}, examples=32)
    student, *others = done.report.standings
    assert len(student.scores) == 32
    assert done.report.heats == (8, 16, 32)
    for one in others:
        assert sorted(one.scores) == list(range(heat_ends(32)[one.heats - 1]))
    assert sum(one.heats > 1 for one in others[:15]) == 5
    assert {one.state for one in others} == {"finished", "left"}


def test_an_example_is_skipped_for_candidates_that_show_it():
    examples = [*questions(12), *(dspy.Example(question=q, answer="1").with_inputs("question") for q in DEMOS[:4])]
    done = raced({}, examples=examples, trials=6)
    for candidate, standing in zip(done.candidates, done.report.standings, strict=True):
        asked = {pair.inputs["question"] for pair in candidate.pairs}
        assert not any(examples[place].question in asked for place in standing.scores)
    assert len(done.report.student.scores) == 16


def test_threads_and_a_second_start_change_nothing(tmp_path):
    alone = raced({"shown 2": 0.2}, seed=5, threads=1)
    store = TrialStore(tmp_path, "race")
    kept = raced({"shown 2": 0.2}, seed=5, store=store, threads=8)
    trials = store.trials()
    again = raced({"shown 2": 0.2}, seed=5, store=TrialStore(tmp_path, "race"))
    assert alone.report == kept.report == again.report
    assert store.trials() == trials


def test_a_race_among_more_candidates_runs_none_of_the_finished_trials_again(tmp_path):
    raced({"shown 2": 0.2}, store=TrialStore(tmp_path, "race"), trials=4)
    known = TrialStore(tmp_path, "race").trials()
    more = raced({"shown 2": 0.2}, store=TrialStore(tmp_path, "race"), trials=8)
    assert known.items() <= TrialStore(tmp_path, "race").trials().items()
    assert more.candidates == raced({"shown 2": 0.2}, trials=8).candidates


def test_a_candidate_that_dies_of_lm_errors_failed_and_is_no_score_of_0():
    class Moody(ScoredProgram):
        def forward(self, question):
            if len(self.program.predict.demos) == 6:
                raise OSError("overloaded")
            return super().forward(question)

    race = Race(
        Moody({}),
        POOL.candidates(6, 0),
        POOL.squeezed,
        Validation(questions(16), METRIC),
        TrialStore(None, "race"),
        SpendingLimit(Limits(), Usage(), time.monotonic()),
    )
    report = race.run().report
    failed = [one for one in report.standings if one.state == "failed"]
    assert {one.kind for one in failed} == {"squeezed 6", "composed 6"}
    assert all("overloaded" in one.error and one.score is None for one in failed)


def test_a_student_that_cannot_be_measured_is_told_with_the_reason():
    class Down(ScoredProgram):
        def forward(self, question):
            raise OSError("overloaded")

    race = Race(
        Down({}),
        POOL.candidates(4, 0),
        (),
        Validation(questions(8), METRIC),
        TrialStore(None, "race"),
        SpendingLimit(Limits(), Usage(), time.monotonic()),
    )
    with pytest.raises(AnytimeError, match="overloaded"):
        race.run()


def test_a_student_without_rivals_is_returned():
    """A later round may find nothing to squeeze, and no pair to show."""
    race = Race(
        ScoredProgram({}),
        POOL.candidates(4, 0)[:1],
        (),
        Validation(questions(16), METRIC),
        TrialStore(None, "race"),
        SpendingLimit(Limits(), Usage(), time.monotonic()),
    )
    report = race.run().report
    assert (report.winner, report.leader, len(report.standings)) == (0, 0, 1)


@pytest.mark.parametrize("base", [-1.0, 2.0])
def test_where_all_score_the_same_the_race_ends_after_one_heat(base):
    done = raced({}, base=base)
    assert done.report.level
    assert done.report.winner == 0
    assert sweeps(done) == 16 * 8
    assert "nothing tells them apart" in verdict(done.report)


def test_progress_tells_who_is_left_and_how_the_leader_does():
    seen = []
    raced({"shown 0": 0.3}, on_trial=seen.append)
    assert [one.heat for one in seen] == sorted(one.heat for one in seen)
    assert seen[0].remaining == 15
    assert seen[-1].remaining < 5
    assert (seen[-1].trials, seen[-1].seconds_left) == (seen[-1].of, 0.0)
    low, high = seen[-1].interval
    assert low < seen[-1].gain < high


def test_dspys_callbacks_see_each_trial_as_an_evaluation():
    class Seen(BaseCallback):
        def __init__(self):
            self.scores = []

        def on_evaluate_start(self, call_id, instance, inputs):
            assert isinstance(inputs["program"], dspy.Module)

        def on_evaluate_end(self, call_id, outputs, exception):
            self.scores.append(outputs.score)

    seen = Seen()
    with dspy.context(callbacks=[seen]):
        done = raced({}, examples=16, trials=4)
    assert len(seen.scores) == sum(one.heats for one in done.report.standings)
    assert all(0 <= score <= 100 for score in seen.scores)


def test_the_verdict_says_what_more_examples_would_settle():
    done = raced({}, seed=1)
    report = done.report
    assert report.winner == 0
    said = verdict(report)
    assert "The student is returned" in said
    assert "no gain is 90% sure" in said
    if report.standings[report.leader].gain.mean > 0:
        assert f"needs some {report.needed} examples" in said


@given(st.integers(1, 3000))
def test_heats_cover_all_examples(examples):
    ends = heat_ends(examples)
    assert ends[-1] == examples
    assert list(ends) == sorted(set(ends))
    assert all(later >= 1.5 * end for end, later in pairwise(ends))


def test_candidates_differ_and_show_each_demonstration_about_as_often():
    candidates = POOL.candidates(40, 7)
    assert candidates[0] == Candidate()
    assert len({one.key for one in candidates}) == len(candidates)
    assert {len(one.pairs) for one in candidates} == {0, 2, 4, 6}
    counts = [sum(pair in one.pairs for one in candidates[6:]) for pair in POOL.squeezed]
    assert max(counts) - min(counts) <= 6


def test_sets_of_long_traces_alone_race_beside_mixed_ones():
    squeezed = [replace(shown(question), substance=3 + place % 2) for place, question in enumerate(DEMOS)]
    weights = [[pair.substance for pair in one.pairs] for one in Pool(squeezed).candidates(9, 0)[1:]]
    assert [4, 4, 4, 4] in weights
    assert any(len(one) == 4 and sorted(one) == [3, 3, 4, 4] for one in weights)


def test_the_first_sets_show_the_traces_that_work_with_most():
    """Two traces of two steps each were worth more than all sets that mixed them with the many of one step."""
    squeezed = [replace(shown(question), substance=5 if place in {4, 9} else 3) for place, question in enumerate(DEMOS)]
    first, second, third = (one.pairs for one in Pool(squeezed).candidates(4, 0)[1:])
    assert [pair.substance for pair in first] == [5, 5]
    assert sorted(pair.substance for pair in second) == [3, 3, 5, 5]
    assert sorted(pair.substance for pair in third) == [3, 3, 3, 3, 5, 5]
    few = [replace(shown(question), substance=3 + (place == 0)) for place, question in enumerate(DEMOS)]
    assert sum(pair.substance for pair in Pool(few).candidates(3, 0)[2].pairs) == 13


def test_others_programs_race_too():
    better = ScoredProgram({"given": 0.4})
    better.program.predict.demos = [{"question": "given", "reasoning": "so", "answer": "1"}]
    done = raced({"given": 0.4}, pool=Pool(POOL.squeezed, programs=[("MIPROv2", better)]))
    assert str(done.winner) == "MIPROv2"


def test_the_last_race_decides_what_a_report_says_was_returned():
    sure = raced(dict.fromkeys(DEMOS, 0.15), base=0.3).report
    unsure = raced({}).report
    assert sure.winner
    assert not unsure.winner
    rounds = [Round(8, 0, None, {}, 0, 0, None, race, Usage(), Usage()) for race in (sure, unsure)]
    told = searched(rounds)
    assert (told.winner, told.gain) == (unsure.student.kind, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 7])
def test_a_race_that_died_in_overtime_ends_the_same_and_runs_nothing_again(seed):
    """Finalists that had been eliminated run the heats that they lack: that must not change who was eliminated."""
    options = {"seed": seed, "overtime": 64, "base": 0.2, "threads": 1}
    effects = {question: 0.1 * (number % 3) for number, question in enumerate(DEMOS)}
    whole = TrialStore(None, "race")
    done = raced(effects, store=whole, **options)
    trials = list(whole.trials().values())
    for kept in range(len(trials) - 10, len(trials) + 1):
        part = TrialStore(None, "race")
        for trial in trials[:kept]:
            part.add(trial)
        assert raced(effects, store=part, **options) == done
        assert len(part.trials()) == len(trials)
