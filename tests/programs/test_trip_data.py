"""NaturalPlan Trip on the real requests, gold plans and stored Gemini 1.5 Pro answers."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import dspy
import pytest

from anytime_dspy.errors import DataError
from anytime_dspy.programs import trip
from anytime_dspy.programs.trip.grammar import parse_request
from anytime_dspy.programs.trip.plan import plan_text, read_official, read_plan


@pytest.fixture(scope="module")
def official_file(shared_data: Path) -> Path:
    return shared_data / "natural_plan" / "trip_planning.json"


@pytest.fixture(scope="module")
def examples(official_file: Path) -> list[dspy.Example]:
    return trip.task.load(official_file)


@pytest.fixture(scope="module")
def gemini(official_file: Path) -> dict[str, dspy.Prediction]:
    records = json.loads(official_file.read_text())
    return {key: dspy.Prediction(plan=record["pred_5shot_pro"]) for key, record in records.items()}


def test_every_real_request_is_read_with_nothing_left_over(examples: list[dspy.Example], whole: bool) -> None:
    assert len(examples) == (480 if whole else 56)
    # Written again from its constraints, each request is the same to the letter: so nothing was skipped.
    assert all(parse_request(example.request).request() == example.request for example in examples)


@pytest.mark.parametrize(
    ("file", "sampled", "count"), [("trip_planning.json", 56, 480), ("trip_fewshot_pool.jsonl", 40, 40)]
)
def test_every_gold_plan_is_perfect(shared_data: Path, whole: bool, file: str, sampled: int, count: int) -> None:
    examples = trip.task.load(shared_data / "natural_plan" / file)
    assert len(examples) == (count if whole else sampled) == len({example.id for example in examples})
    for example in examples:
        prediction = dspy.Prediction(plan=example.plan)
        assert trip.quality(example, prediction) == 1.0
        assert trip.exact_match(example, prediction) == 1.0
        assert plan_text(list(read_plan(example.plan))) == example.plan


def test_examples_show_the_program_the_request_alone(examples: list[dspy.Example]) -> None:
    assert all(set(example.inputs().keys()) == {"request"} for example in examples)
    assert examples[0].id == "trip_planning_example_0"
    assert examples[0].request.startswith("You plan to visit 3 European cities for 14 days in total.")
    assert (examples[0].cities, examples[0].durations) == (("Helsinki", "Barcelona", "Florence"), (5, 5, 6))


def test_stored_answers_score_as_published(
    examples: list[dspy.Example], gemini: dict[str, dspy.Prediction], whole: bool
) -> None:
    rates = [trip.quality(example, gemini[example.id]) for example in examples]
    exact = [trip.exact_match(example, gemini[example.id]) for example in examples]
    assert sum(rates) / len(rates) == pytest.approx(0.786 if whole else 0.730, abs=0.001)
    assert sum(exact) / len(exact) == pytest.approx(0.371 if whole else 0.304, abs=0.001)
    assert all(rate == 1.0 for rate, match in zip(rates, exact, strict=True) if match)
    assert all(0.0 <= rate <= 1.0 for rate in rates)


def test_exact_match_agrees_with_comparing_gold_text(
    examples: list[dspy.Example], gemini: dict[str, dspy.Prediction]
) -> None:
    def stays(plan: str) -> list[str]:
        return [line.strip() for line in plan.splitlines() if "isit" in line and line.startswith("**Day")]

    for example in examples:
        answer = gemini[example.id].plan
        if stays(answer) == stays(example.plan):
            assert trip.exact_match(example, gemini[example.id]) == 1.0
        if not set(example.cities) <= set(answer.replace(".", " ").split()):
            assert trip.exact_match(example, gemini[example.id]) == 0.0


def test_looser_reading_leaves_official_plans_alone(
    examples: list[dspy.Example], gemini: dict[str, dspy.Prediction], whole: bool
) -> None:
    answers = [gemini[example.id].plan for example in examples]
    plans = [answer for answer in answers if answer.startswith("Here is the trip plan")]
    assert len(plans) > (400 if whole else 40)
    assert all(read_plan(answer) == read_official(answer) for answer in plans)


def test_answers_that_give_reasons_and_no_flights_hold_no_plan(
    examples: list[dspy.Example], gemini: dict[str, dspy.Prediction], whole: bool
) -> None:
    refusals = [
        example for example in examples if not re.search(r"(?i)\b(?:fly|flight|travel) from", gemini[example.id].plan)
    ]
    refusals = [example for example in refusals if "Visit" not in gemini[example.id].plan]
    assert len(refusals) > (40 if whole else 7)
    assert [example.id for example in refusals if trip.quality(example, gemini[example.id])] == []


def test_of_two_options_the_first_is_the_plan(gemini: dict[str, dspy.Prediction]) -> None:
    answer = gemini["trip_planning_example_1248"].plan
    first, second = answer.split("**Option 2")
    assert read_plan(answer) == read_plan(first) != read_plan(second)
    assert read_plan(answer)[-1].last == 21


def test_a_last_day_of_its_own_is_part_of_the_last_visit(gemini: dict[str, dspy.Prediction]) -> None:
    assert read_plan(gemini["trip_planning_example_1270"].plan)[-1].last == 21


def test_rate_agrees_with_checks_written_on_the_text(examples: list[dspy.Example]) -> None:
    """Every wrong order of the gold stays scores what counting its listed hops and met events by hand gives."""
    for example in examples[::8]:
        cities = list(example.cities[1:] + example.cities[:1])
        days = dict(zip(example.cities, example.durations, strict=True))
        lines, first, spans = [], 1, {}
        for city in cities:
            last = first + days[city] - 1
            spans[city] = range(first, last + 1)
            lines.append(f"**Day {first}-{last}:** Visit {city} for {days[city]} days.")
            first = last
        for index, (here, there) in enumerate(pairwise(cities)):
            lines.insert(2 * index + 1, f"**Day {spans[there][0]}:** Fly from {here} to {there}.")
        flights = example.request.split("\n\n")[1].split("\n")[1].rstrip(".").split(", ")
        hops = sum(
            bool({f"{here} and {there}", f"{there} and {here}", f"from {here} to {there}"} & set(flights))
            for here, there in pairwise(cities)
        )
        events = parse_request(example.request).events
        met = sum(event.first in spans[event.city] and event.last in spans[event.city] for event in events)
        expected = (2 + len(cities) + met + hops) / (2 * len(cities) + 1 + len(events))
        assert trip.quality(example, dspy.Prediction(plan="\n".join(lines))) == pytest.approx(expected)


def test_few_shot_header_is_no_part_of_the_request(official_file: Path, tmp_path: Path) -> None:
    record = next(iter(json.loads(official_file.read_text()).values()))
    wrapped = {"a": {**record, "prompt_0shot": f"Be an expert.\n\nTASK: {record['prompt_0shot']}\nSOLUTION:"}}
    path = tmp_path / "wrapped.json"
    path.write_text(json.dumps(wrapped))
    assert trip.load(path)[0].request == record["prompt_0shot"]


def test_labels_that_do_not_fit_together_are_refused(official_file: Path, tmp_path: Path) -> None:
    record = next(iter(json.loads(official_file.read_text()).values()))
    path = tmp_path / "trips.json"
    path.write_text(json.dumps({"a": {**record, "durations": "5**5"}}))
    with pytest.raises(DataError, match="a: 3 cities but 2 durations"):
        trip.load(path)
    path.write_text(json.dumps({"a": {**record, "prompt_0shot": "Plan something."}}))
    with pytest.raises(DataError, match="a: a Trip request has three blocks"):
        trip.load(path)


def test_requests_outside_the_grammar_are_refused(examples: list[dspy.Example]) -> None:
    request = examples[len(examples) // 5].request
    for broken in (
        "",
        request.replace("You only take direct flights", "You only take trains"),
        request.replace("direct flights:\n", "direct flights:\nby night, "),
        request.replace("\n\nFind", " And enjoy it.\n\nFind"),
        request + " Please.",
        request.replace(" European cities", "0 European cities"),
        request.rpartition("\n\n")[0],
    ):
        with pytest.raises(DataError) as caught:
            parse_request(broken)
        assert "\n" not in str(caught.value)


def test_splits_do_not_depend_on_the_order_of_the_file(official_file: Path, shared_data: Path, tmp_path: Path) -> None:
    records = json.loads(official_file.read_text())
    shuffled = tmp_path / "shuffled.json"
    shuffled.write_text(json.dumps(dict(sorted(records.items(), key=lambda item: item[1]["prompt_0shot"]))))
    lines = (shared_data / "natural_plan" / "trip_fewshot_pool.jsonl").read_text().splitlines()
    turned = tmp_path / "turned.jsonl"
    turned.write_text("\n".join(reversed(lines)))

    def ids(path: Path, split: str) -> set[str]:
        return {example.id for example in trip.load(path, split)}

    splits = ("train", "val", "test")
    for one, other in ((official_file, shuffled), (shared_data / "natural_plan" / "trip_fewshot_pool.jsonl", turned)):
        parts = [ids(one, split) for split in splits]
        assert parts == [ids(other, split) for split in splits]
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts)) == len(ids(one, "all"))
        assert len(parts[2]) > 0.7 * len(ids(one, "all"))


def test_unknown_split() -> None:
    with pytest.raises(DataError, match="no split 'dev': there are all, train, val, test"):
        trip.task.load(split="dev")
