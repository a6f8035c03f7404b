"""NaturalPlan Trip: plan a tour of European cities under stays, events and direct flights.

Data and evaluator: NATURAL PLAN (Zheng et al. 2024, arXiv 2406.04520), CC BY 4.0, Google DeepMind.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import dspy
from pydantic import BaseModel, BeforeValidator

from anytime_dspy.errors import DataError
from anytime_dspy.programs.records import read_records, text_id
from anytime_dspy.programs.task import Task, field_text
from anytime_dspy.programs.trip.generator import generate
from anytime_dspy.programs.trip.grammar import Constraints, parse_request
from anytime_dspy.programs.trip.plan import Visit, read_official, read_plan

__all__ = ["answer_key", "constraint_rate", "exact_match", "load", "quality", "task"]

DATA_URL = "https://raw.githubusercontent.com/google-deepmind/natural-plan/main/data/trip_planning.json"
SPLITS = ("all", "train", "val", "test")
# No real cities and days: small models copy an example that names any.
INSTRUCTIONS = """\
Plan a trip that meets every wish of the request. The day of a flight counts in both cities.
Write one line a stay and one line a flight, in this form:
**Day a-b:** Visit <city> for <n> days.
**Day b:** Fly from <city> to <next city>."""


def _starred(value: object) -> object:
    """Splits the official file's lists, such as `Oslo**Rome`."""
    return value.split("**") if isinstance(value, str) else value


class TripRecord(BaseModel):
    """What is read of a record of the official file."""

    prompt_0shot: str
    golden_plan: str
    cities: Annotated[tuple[str, ...], BeforeValidator(_starred)]
    durations: Annotated[tuple[int, ...], BeforeValidator(_starred)]


def load(path: str | Path | None = None, split: str = "all") -> list[dspy.Example]:
    """Reads NaturalPlan Trip: the official file, or records with its keys as JSON Lines.

    Only a test set of 1,600 is published, so it is split here, by a hash of each record's id: a record keeps its split
    wherever it stands in the file, and in any part of the file.

    Args:
        path: A path, a url or a file on the hub (`hf://datasets/OWNER/NAME/FILE`); without one the official file is
            downloaded.
        split: "all", as the published figures have it, or "train" or "val" (a tenth each) or "test" (the rest).

    Returns:
        Examples with the input `request` and the labels `plan` (the gold plan's text), `cities` (in order) and
        `durations` (days).

    Raises:
        DataError: The data cannot be fetched or read, or a request is not in the grammar.
    """
    if split not in SPLITS:
        raise DataError(f"Trip has no split {split!r}: there are {', '.join(SPLITS)}")
    records = read_records(path or DATA_URL, TripRecord)
    examples = [_example(key, record) for key, record in records.items()]
    return [example for example in examples if split in ("all", _split_of(example.id))]


def _split_of(example_id: str) -> str:
    tenth = int(hashlib.sha256(example_id.encode()).hexdigest(), 16) % 10
    return {0: "train", 1: "val"}.get(tenth, "test")


def _example(key: str, record: TripRecord) -> dspy.Example:
    # Some copies of the data wrap the request as one more task after the few-shot header.
    request = record.prompt_0shot.rpartition("TASK:")[2].removesuffix("SOLUTION:").strip()
    try:
        parse_request(request)
    except DataError as error:
        raise DataError(f"{key}: {error}") from error
    if len(record.cities) != len(record.durations):
        raise DataError(f"{key}: {len(record.cities)} cities but {len(record.durations)} durations: repair the record")
    return dspy.Example(
        id=text_id("trip", request) if key.isdigit() else key,  # a line's number is no name
        request=request,
        plan=record.golden_plan,
        cities=record.cities,
        durations=record.durations,
    ).with_inputs("request")


def quality(example: dspy.Example, prediction: dspy.Prediction | None) -> float:
    """Returns the share of the request's constraints that the plan meets, in [0, 1]; needs no label."""
    asked = parse_request(example.request)
    return constraint_rate(asked, read_plan(field_text(prediction, "plan"), [stay.city for stay in asked.stays]))


def constraint_rate(constraints: Constraints, visits: tuple[Visit, ...]) -> float:
    """Returns the share of 2n + 1 + e equal checks that a plan of n cities under e events passes.

    The checks: the trip takes the total number of days (1); its cities are those asked for, each once (1); each stay
    is as long as asked (n); each event falls within a stay (e); each change of city is a direct flight in a listed
    direction on a day that both cities share (n - 1).

    Args:
        constraints: What the request asks for.
        visits: The plan; an empty one scores 0.
    """
    if not visits:
        return 0.0
    asked = {stay.city: stay.days for stay in constraints.stays}
    days = {city: sum(visit.days for visit in visits if visit.city == city) for city in asked}
    hops = list(pairwise(visits))[: len(asked) - 1]
    passed = [
        visits[0].first == 1 and visits[-1].last == constraints.total_days,
        sorted(visit.city for visit in visits) == sorted(asked),
        *(days[city] == wanted for city, wanted in asked.items()),
        *(
            any(
                visit.city == event.city and visit.first <= event.first and event.last <= visit.last for visit in visits
            )
            for event in constraints.events
        ),
        *(here.last == there.first and constraints.connects(here.city, there.city) for here, there in hops),
    ]
    return sum(passed) / (2 * len(asked) + 1 + len(constraints.events))


def exact_match(example: dspy.Example, prediction: dspy.Prediction | None) -> float:
    """Returns the official score: 1.0 where cities and days equal the gold plan's by position, else 0.0.

    As the official evaluator does, this ignores whatever follows the gold plan's last city, and it rejects a valid
    plan that is not the gold one.
    """
    visits = read_official(field_text(prediction, "plan"))
    gold = list(zip(example.cities, example.durations, strict=True))
    return float([(visit.city, visit.days) for visit in visits[: len(gold)]] == gold)


def answer_key(prediction: dspy.Prediction | None) -> str | None:
    """Returns the plan as `Oslo:3|Rome:2`, with days, or None where there is none to be read."""
    visits = read_plan(field_text(prediction, "plan"))
    return "|".join(f"{visit.city}:{visit.days}" for visit in visits) or None


task = Task(
    name="trip",
    version="4",
    signature=dspy.Signature("request: str -> plan: str", INSTRUCTIONS),
    load=load,
    quality=quality,
    answer_key=answer_key,
    generator=generate,
    needs_labels=False,  # the constraints stand in the request
    answer_tokens=512,  # a plan of ten cities is long
)
