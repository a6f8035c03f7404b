from __future__ import annotations

from dataclasses import replace

import dspy
from hypothesis import given
from hypothesis import strategies as st

import anytime_dspy as ad
from anytime_dspy.optimizers.judges.base import Judgement
from anytime_dspy.optimizers.pairs.pair import build_pairs
from anytime_dspy.optimizers.pairs.pair_sets import candidate_sets
from anytime_dspy.optimizers.search.space import shown_inputs
from anytime_dspy.storage.jsonl import content_hash
from tests.optimizers.made import group

SHARING = [f"{name} shares {n} pens among {n} friends" for n, name in enumerate(["Ann", "Bob", "Cid", "Dee"], start=2)]
OTHERS = ["a train leaves at noon", "how old is the captain", "paint covers which wall area"]


def pairs_of(problems, gaps=None):
    """Two pairs a problem, at budgets 16 and 32, whose chosen traces get better with their reasoning."""
    gaps = gaps or [1.0] * len(problems)
    groups = [group(("a", "b"), ("c", "d"), index=place, problem=problem) for place, problem in enumerate(problems)]
    return build_pairs(groups, Judgement("test", tuple(((gap / 2, gap), (0.0, 0.0)) for gap in gaps)))


def problems_of(pair_set):
    return {pair.inputs["question"] for pair in pair_set}


def test_a_set_holds_unlike_problems_and_not_the_easiest_kind_again_and_again():
    # The sharing problems have the larger gaps: by the gap alone all four pairs would be theirs.
    pairs = pairs_of([*SHARING, *OTHERS], [1.0] * 4 + [0.9] * 3)
    [first] = candidate_sets(pairs, 1, 4)
    assert len(problems_of(first) & set(OTHERS)) >= 2
    assert [pair.budget for pair in first] == [16, 16, 32, 32]
    assert max(pair.gap for pair in first if pair.budget == 16) == 0.5  # the first one taken is the best of all


def test_sets_differ_and_the_same_seed_draws_the_same():
    pairs = pairs_of([*SHARING, *OTHERS])
    sets, again, other = (candidate_sets(pairs, 5, 3, seed) for seed in (0, 0, 1))
    assert len(sets) == 5
    assert len({frozenset((p.example_index, p.budget) for p in pair_set) for pair_set in sets}) == 5
    assert sets == again
    assert sets != other
    assert sets[0] == other[0]  # the one that looks at every example


def test_where_there_are_few_examples_there_are_few_sets():
    assert [len(pair_set) for pair_set in candidate_sets(pairs_of(["only one"]), 6, 4)] == [1]
    assert candidate_sets([], 3, 2) == []


def test_a_trace_that_was_right_before_it_reasoned_is_taken_only_where_nothing_else_is_left():
    early = build_pairs([group(("a", "b"), ("c", "d"), problem="easy")], Judgement("test", (((1.0, 1.0), (0.0, 0.0)),)))
    earned = pairs_of(["first", "second"], [0.6, 0.6])[2:]
    [chosen] = candidate_sets([pair for pair in early + earned if pair.budget == 32], 1, 1)
    assert problems_of(chosen) == {"second"}
    assert candidate_sets(early[1:], 1, 1) == [tuple(early[1:])]


def test_a_trace_that_was_right_earlier_on_its_way_is_taken_first():
    groups = [group(("a", "b", "c"), ("d", "e", "f"), index=place, problem=str(place)) for place in range(2)]
    late, early = ((0.0, 0.0, 1.0), (0.0,) * 3), ((0.0, 0.9, 0.9), (0.0,) * 3)
    pairs = build_pairs(groups, Judgement("test", (late, early)))
    [chosen] = candidate_sets([pair for pair in pairs if pair.budget == 64], 1, 1)
    assert problems_of(chosen) == {"1"}


def test_a_trace_that_worked_its_answer_out_is_taken_before_one_that_left_it_to_the_answer_call():
    guessed, worked_out = (pair for pair in pairs_of(["large gap", "small gap"], [1.0, 0.6]) if pair.budget == 32)
    worked_out = replace(worked_out, chosen=replace(worked_out.chosen, worked_out=True))
    assert candidate_sets([guessed, worked_out], 1, 1) == [(worked_out,)]
    assert candidate_sets([guessed], 1, 1) == [(guessed,)]


def test_a_whole_trace_of_another_budget_is_taken_before_one_that_was_cut_off():
    cut_here, elsewhere = (
        replace(pair, chosen=replace(pair.chosen, worked_out=True, complete=pair.budget == 32))
        for pair in pairs_of(["cut", "whole"], [1.0, 0.6])
        if (pair.budget == 16) == (pair.inputs["question"] == "cut")
    )
    assert candidate_sets([cut_here, elsewhere], 1, 1) == [(elsewhere,)]
    assert candidate_sets([cut_here], 1, 1) == [(cut_here,)]


@given(st.integers(1, 7), st.integers(1, 6), st.integers(1, 5), st.integers(0, 99))
def test_no_example_is_in_a_set_twice(examples, size, k, seed):
    pairs = pairs_of([*SHARING, *OTHERS][:examples])
    for pair_set in candidate_sets(pairs, k, size, seed):
        assert len(problems_of(pair_set)) == len(pair_set) == min(size, examples)


def test_an_example_never_sees_a_pair_made_from_itself():
    pairs = pairs_of(SHARING)
    copy = dspy.Example(question=SHARING[1], answer="1", id="elsewhere").with_inputs("question")
    program = ad.Anytime(dspy.ChainOfThought("question -> answer"), (16, 32))
    asked = content_hash(copy.inputs().toDict())
    assert asked in shown_inputs(program, [pair.inputs for pair in pairs])
    left = [pair for pair in pairs if asked not in shown_inputs(program, [pair.inputs])]
    assert {pair.inputs["question"] for pair in left} == set(SHARING) - {SHARING[1]}
