"""Generated Trip requests: in the grammar, solvable, varied and the same for the same seed."""

from __future__ import annotations

from itertools import pairwise

import dspy
import pytest

from anytime_dspy.errors import DataError
from anytime_dspy.programs import trip
from anytime_dspy.programs.trip.generator import CITIES
from anytime_dspy.programs.trip.grammar import EVENT_WORDINGS, STAY_WORDINGS, parse_request
from anytime_dspy.programs.trip.plan import read_plan


@pytest.mark.parametrize("size", range(3, 11))
@pytest.mark.slow
def test_a_thousand_of_each_size_are_solvable(size: int) -> None:
    examples = trip.task.generate(1_000, seed=size, cities=(size, size))
    assert len({example.request for example in examples}) > 990
    for example in examples:
        constraints = parse_request(example.request)
        assert constraints.request() == example.request
        assert len(constraints.stays) == size
        assert trip.constraint_rate(constraints, read_plan(example.plan)) == 1.0
        assert trip.exact_match(example, dspy.Prediction(plan=example.plan)) == 1.0


def test_everything_that_the_grammar_has_occurs() -> None:
    examples = trip.task.generate(600, seed=0)
    everything = [parse_request(example.request) for example in examples]
    assert {len(constraints.stays) for constraints in everything} == set(range(3, 11))
    assert {len(constraints.events) for constraints in everything} == set(range(6))
    assert {stay.wording for constraints in everything for stay in constraints.stays} == set(STAY_WORDINGS)
    assert {event.kind for constraints in everything for event in constraints.events} == set(EVENT_WORDINGS)
    assert {stay.city for constraints in everything for stay in constraints.stays} == set(CITIES)
    one_way_hops = sum(
        f"from {here} to {there}" in example.request for example in examples for here, there in pairwise(example.cities)
    )
    assert 0 < one_way_hops < 600


def test_request_does_not_give_the_route_away() -> None:
    examples = trip.task.generate(300, seed=1, cities=(6, 6))
    in_order = sum(
        tuple(stay.city for stay in parse_request(example.request).stays) == example.cities for example in examples
    )
    assert in_order < 10
    forward = sum(f"{example.cities[0]} and {example.cities[1]}" in example.request for example in examples)
    assert 90 < forward < 210


def test_seed_decides() -> None:
    first, again, other = (trip.task.generate(20, seed=seed) for seed in (5, 5, 6))
    assert [example.toDict() for example in first] == [example.toDict() for example in again]
    assert {example.request for example in first}.isdisjoint(example.request for example in other)
    assert [example.id for example in first[:2]] == ["trip-gen-5-0", "trip-gen-5-1"]
    assert trip.task.generate(3, seed=5)[2].request == first[2].request


@pytest.mark.parametrize("options", [{"cities": (1, 3)}, {"cities": (5, 4)}, {"cities": (3, 99)}, {"towns": 3}])
def test_options_that_do_not_fit_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(DataError):
        trip.task.generate(1, 0, **options)


def test_negative_count_is_refused() -> None:
    assert trip.task.generate(0, 0) == []
    with pytest.raises(DataError, match="0 or more"):
        trip.task.generate(-1, 0)
