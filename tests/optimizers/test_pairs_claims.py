"""What `build_pairs` and `distance` promise in so many words, each with an example that fails where it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from anytime_dspy.curve import AnytimeCurve
from anytime_dspy.optimizers.judges.base import Judgement
from anytime_dspy.optimizers.pairs.pair import build_pairs, distance, read_pairs, select_pairs, write_pairs
from anytime_dspy.optimizers.traces.trace import TraceGroup
from tests.optimizers.made import group, trace


def judged(traces, *scores, problem="?"):
    return build_pairs([TraceGroup(0, "", {"question": problem}, tuple(traces))], Judgement("test", (scores,)))


def states(answer, sample, budgets=1):
    """A trace that says its answer in its reasoning, at every budget."""
    return trace(*[answer] * budgets, sample=sample, reasonings=[f"so it is {answer}."] * budgets)


def about(**inputs):
    [pair] = judged([states("1", 0), states("2", 1)], (1.0,), (0.0,))
    return replace(pair, inputs=inputs)


def test_an_answer_that_another_beats_at_the_end_was_not_worked_out():
    early, _ = judged([states("12", 0, 2), states("9", 1, 2)], (0.6, 0.6), (0.2, 1.0))
    assert (early.chosen.outputs["answer"], early.chosen.worked_out) == ("12", False)
    alone, _ = judged([states("12", 0, 2), states("9", 1, 2)], (0.6, 0.6), (0.2, 0.0))
    assert alone.chosen.worked_out


def test_where_the_end_is_undecided_an_early_answer_may_still_have_been_worked_out():
    [pair] = judged([states("12", 0, 2), states("9", 1, 2)], (0.5, None), (0.0, None))
    assert (pair.budget, pair.chosen.worked_out) == (16, True)


def test_a_trace_without_an_answer_worked_nothing_out():
    [pair] = judged([trace(None, sample=0), states("9", 1)], (1.0,), (0.0,))
    assert (pair.chosen.answered, pair.chosen.worked_out) == (False, False)


def test_an_answer_that_stands_in_the_question_was_not_worked_out():
    [pair] = judged([states("12", 0), states("9", 1)], (1.0,), (0.0,), problem="Is it 12 or 9?")
    assert not pair.chosen.worked_out


def test_an_answer_is_said_whatever_its_letters_and_white_space():
    said = trace("New  York", sample=0, reasonings=["it must be\nNEW YORK then"])
    [pair] = judged([said, states("9", 1)], (1.0,), (0.0,))
    assert pair.chosen.worked_out
    part = trace("12", sample=0, reasonings=["it is 312"])
    [pair] = judged([part, states("9", 1)], (1.0,), (0.0,))
    assert not pair.chosen.worked_out


@pytest.mark.parametrize(("more", "chosen"), [(1e-9, 1), (1e-5, 0)])
def test_gaps_that_differ_by_rounding_alone_are_equal(more, chosen):
    ended = trace("b", sample=1, cut=False)
    [pair] = judged([trace("a", sample=0), ended, trace("c", sample=2)], (0.9 + more,), (0.9,), (0.0,))
    assert pair.chosen.sample == chosen


def test_distance_is_the_share_of_words_that_are_not_in_both():
    assert distance(about(question="red apples"), about(question="Red trains")) == pytest.approx(1 - 1 / 3)
    assert distance(about(question="red apples"), about(question="APPLES red")) == 0.0
    assert distance(about(question="red"), about(question="green")) == 1.0
    assert distance(about(question="red", hint="big"), about(question="big red")) == 0.0
    assert distance(about(question=""), about(question="")) == 0.0


@pytest.mark.parametrize(("area", "example"), [(0.52, 2), (0.7, 1)])
def test_areas_that_hardly_differ_leave_the_choice_to_the_one_least_like_those_taken(area, example):
    def pair(budget, index, problem, mean):
        one = about(question=problem)
        curve = AnytimeCurve((16, 32), (mean, mean))
        return replace(one, budget=budget, example_index=index, chosen=replace(one.chosen, curve=curve))

    first = pair(16, 0, "red apples in a box", 0.5)
    like, unlike = pair(32, 1, "green apples in a box", area), pair(32, 2, "two trains meet", 0.5)
    assert [one.example_index for one in select_pairs([first, like, unlike])] == [0, example]


def test_the_reasonings_of_all_calls_are_one_text_that_an_answer_is_looked_for_in():
    steps = [replace(states("1", 0).checkpoints[0].calls[0], reasoning=text) for text in ("it is twelve", "", "or so")]
    one = trace("twelve", sample=0)
    [point] = one.checkpoints
    one = replace(one, checkpoints=(replace(point, calls=tuple(steps)),))
    [pair] = judged([one, states("9", 1)], (1.0,), (0.0,))
    assert pair.chosen.reasoning == "it is twelve\n\nor so"
    assert pair.chosen.worked_out


def test_a_pair_of_which_one_trace_had_nothing_to_say_has_both_reasonings():
    [pair] = judged([states("1", 0), trace("2", sample=1, reasonings=[""])], (1.0,), (0.0,))
    assert (pair.chosen.reasoning, pair.rejected.reasoning) == ("so it is 1.", "")


def test_the_area_is_under_the_curve_as_it_is_and_not_under_its_best_so_far():
    first, _ = judged([states("1", 0, 2), states("2", 1, 2)], (0.9, 0.1), (0.0, 0.0))
    assert first.chosen.area == pytest.approx((0.9 + 0.1) / 2)


def test_a_pair_is_selected_only_where_the_recipe_took_it(tmp_path):
    pairs = build_pairs(
        [group(("a",), ("b",), index=place) for place in range(3)],
        Judgement("test", (((0.4,), (0.0,)), ((0.9,), (0.0,)), ((0.5,), (0.0,)))),
    )
    assert not any(pair.selected for pair in pairs)
    write_pairs(tmp_path / "pairs.jsonl", pairs, select_pairs(pairs))
    read = read_pairs(tmp_path / "pairs.jsonl")
    assert [pair.selected for pair in read] == [False, True, False]
    write_pairs(tmp_path / "again.jsonl", read)
    assert [pair.selected for pair in read_pairs(tmp_path / "again.jsonl")] == [False, True, False]


def test_at_the_smallest_budget_reasoning_is_earned_and_later_it_must_have_helped():
    better, worse = trace("a", "a", sample=0), trace("b", "b", sample=1)
    pairs = judged([better, worse], (0.5, 0.5), (0.0, 0.0))
    assert [pair.earned for pair in pairs] == [True, False]
    pairs = judged([better, worse], (0.5, 0.6), (0.0, 0.0))
    assert [pair.earned for pair in pairs] == [True, True]
