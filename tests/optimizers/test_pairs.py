from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anytime_dspy.errors import AnytimeError, RunError
from anytime_dspy.optimizers.judges.base import Judgement
from anytime_dspy.optimizers.pairs.pair import build_pairs, read_pairs, select_pairs, write_pairs
from anytime_dspy.optimizers.traces.trace import TraceGroup
from tests.optimizers.made import group, trace


def judged(groups, *scores):
    return build_pairs(groups, Judgement("test", scores))


def of_traces(*traces, index=0, problem="?"):
    return TraceGroup(index, "", {"question": problem}, traces)


def test_each_example_and_budget_has_the_pair_with_the_largest_gap():
    pairs = judged([group(("a", "a"), ("b", "b"), ("c", "c"))], ((0.2, 0.9), (0.5, 0.4), (0.3, 0.1)))
    assert [(p.budget, p.chosen.sample, p.rejected.sample, p.judge) for p in pairs] == [
        (16, 1, 0, "test"),
        (32, 0, 2, "test"),
    ]
    assert [pair.gap for pair in pairs] == pytest.approx([0.3, 0.8])


def test_no_difference_and_no_decision_make_no_pair():
    assert judged([group(("a",), ("b",))], ((0.5,), (0.5,))) == []
    assert judged([group(("a",), ("b",))], ((0.5,), (None,))) == []


def test_traces_with_the_same_reasoning_are_no_pair():
    same = [trace(answer, sample=n, reasonings=["the same"]) for n, answer in enumerate("ab")]
    assert judged([of_traces(*same)], ((1.0,), (0.0,))) == []


def test_of_equal_gaps_a_trace_that_ended_by_itself_is_chosen():
    traces = (trace("a", sample=0), trace("a", sample=1, cut=False), trace("b", sample=2))
    [pair] = judged([of_traces(*traces)], ((1.0,), (1.0,), (0.0,)))
    assert pair.chosen.sample == 1
    assert pair.chosen.complete


def test_of_equal_gaps_a_trace_that_earns_its_tokens_is_chosen():
    pairs = judged([group(("a", "a"), ("b", "a"), ("b", "b"))], ((1.0, 1.0), (0.0, 1.0), (0.0, 0.0)))
    assert [(pair.budget, pair.chosen.sample, pair.earned) for pair in pairs] == [(16, 0, True), (32, 1, True)]


def test_of_equal_gaps_a_trace_that_states_its_answer_is_chosen():
    traces = (
        trace("12", sample=0, reasonings=["3 boxes of 412"], cut=False),
        trace("12", sample=1, reasonings=["3 * 4 = 12."]),
        trace("7", sample=2),
    )
    [pair] = judged([of_traces(*traces)], ((1.0,), (1.0,), (0.0,)))
    assert (pair.chosen.sample, pair.chosen.worked_out, pair.rejected.worked_out) == (1, True, False)


@pytest.mark.parametrize("broken", [{"reasonings": ["[[ ## reasoning ## ]] so"]}, {"answer": "4 [[ ## answer ## ]]"}])
def test_a_trace_with_strayed_headers_may_be_rejected_but_never_chosen(broken):
    stray = trace(broken.get("answer", "4"), sample=0, reasonings=broken.get("reasonings"))
    fine = trace("5", sample=1)
    assert judged([of_traces(stray, fine)], ((1.0,), (0.0,))) == []
    [pair] = judged([of_traces(stray, fine)], ((0.0,), (1.0,)))
    assert pair.rejected.sample == 0


def test_a_trace_without_reasoning_earns_nothing():
    silent, wordy = trace("a", sample=0, reasonings=["  "]), trace("b", sample=1)
    [pair] = judged([of_traces(silent, wordy)], ((1.0,), (0.0,)))
    assert not pair.earned


def test_of_equal_traces_the_one_with_the_larger_area_is_chosen():
    pairs = judged(
        [group(("a", "a", "a"), ("b", "a", "a"), ("b", "b", "b"))],
        ((0.2, 0.6, 0.9), (0.2, 0.9, 0.9), (0.0, 0.0, 0.0)),
    )
    assert pairs[-1].chosen.sample == 1


def pair_of(budget, gap, index, problem="?"):
    [pair] = judged([group(("a",), ("b",), index=index, problem=problem)], ((gap,), (0.0,)))
    return replace(pair, budget=budget)


def test_the_recipe_takes_the_largest_gap_at_each_budget():
    pairs = [pair_of(16, 0.4, 0), pair_of(16, 0.9, 1), pair_of(32, 0.8, 2), pair_of(32, 0.3, 0)]
    assert [(pair.budget, pair.example_index) for pair in select_pairs(pairs)] == [(16, 1), (32, 2)]


def test_no_example_stands_for_two_budgets_while_others_have_pairs():
    pairs = [pair_of(16, 0.9, 0), pair_of(32, 0.9, 0), pair_of(32, 0.1, 1), pair_of(64, 0.1, 1), pair_of(64, 0.9, 0)]
    assert [pair.example_index for pair in select_pairs(pairs)] == [0, 1, 0]


def test_of_equal_pairs_the_one_least_like_those_taken_is_chosen():
    pairs = [
        pair_of(16, 0.9, 0, "red apples in a box"),
        pair_of(32, 0.9, 1, "green apples in a box"),
        pair_of(32, 0.9, 2, "two trains meet"),
    ]
    assert [pair.example_index for pair in select_pairs(pairs)] == [0, 2]


def test_without_any_pair_there_is_a_way_out():
    with pytest.raises(AnytimeError, match=r"no difference.*more samples"):
        select_pairs([])


unit = st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0])


@given(st.lists(st.lists(st.tuples(unit, unit), min_size=2, max_size=4), min_size=1, max_size=4))
def test_a_chosen_trace_is_always_better_and_a_budget_has_one_selected_pair(tables):
    groups = [group(*[("a", "b")] * len(table), index=place) for place, table in enumerate(tables)]
    pairs = judged(groups, *(tuple(table) for table in tables))
    assert all(0.0 < pair.gap <= 1.0 for pair in pairs)
    best = {}
    for pair in pairs:
        scores = [row[0 if pair.budget == 16 else 1] for row in tables[pair.example_index]]
        known = [score for score in scores if score is not None]
        assert pair.gap == max(known) - min(known)
        best[pair.budget] = max(best.get(pair.budget, 0.0), pair.gap)
    if pairs:
        selected = select_pairs(pairs)
        assert [pair.budget for pair in selected] == sorted(best)
        assert selected[0].gap == best[selected[0].budget]


def test_pairs_are_read_as_they_were_written(tmp_path):
    pairs = judged([group(("a\u2028b", "c"), ("b", "d"))], ((1.0, 0.0), (0.0, 1.0)))
    write_pairs(tmp_path / "deep" / "pairs.jsonl", pairs, pairs[:1])
    assert read_pairs(tmp_path / "deep" / "pairs.jsonl") == [replace(pairs[0], selected=True), pairs[1]]
    assert [entry.name for entry in (tmp_path / "deep").iterdir()] == ["pairs.jsonl"]


def test_a_file_that_holds_no_pairs_is_refused(tmp_path):
    path = tmp_path / "pairs.jsonl"
    with pytest.raises(RunError, match="cannot read"):
        read_pairs(path)
    path.write_text('{"budget": 3}\n')
    with pytest.raises(RunError, match=r"line 1 of .* is no preference pair"):
        read_pairs(path)


def test_a_folder_that_cannot_be_written_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        write_pairs(tmp_path / "file" / "pairs.jsonl", [])
