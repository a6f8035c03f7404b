"""Reading plans however they are written, and losing score for every mistake in one."""

from __future__ import annotations

import re

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anytime_dspy.errors import DataError
from anytime_dspy.programs import trip
from anytime_dspy.programs.trip.grammar import Constraints, Event, Flight, Stay, parse_request
from anytime_dspy.programs.trip.plan import Visit, read_official, read_plan

PLAN = """\
Here is the trip plan for visiting the 3 European cities for 14 days:

**Day 1-5:** Arriving in Helsinki and visit Helsinki for 5 days.
**Day 5:** Fly from Helsinki to Barcelona.
**Day 5-9:** Visit Barcelona for 5 days.
**Day 9:** Fly from Barcelona to Florence.
**Day 9-14:** Visit Florence for 6 days."""
VISITS = (Visit("Helsinki", 1, 5), Visit("Barcelona", 5, 9), Visit("Florence", 9, 14))
CONSTRAINTS = Constraints(
    total_days=14,
    stays=(Stay("Florence", 6), Stay("Barcelona", 5, "stay"), Stay("Helsinki", 5, "spend")),
    events=(Event("Florence", 9, 14, "friend"),),
    flights=(Flight("Barcelona", "Florence", one_way=True), Flight("Barcelona", "Helsinki")),
)
EXAMPLE = dspy.Example(
    request=CONSTRAINTS.request(), cities=("Helsinki", "Barcelona", "Florence"), durations=(5, 5, 6)
).with_inputs("request")


def rate(plan: object) -> float:
    return trip.quality(EXAMPLE, dspy.Prediction(plan=plan))


LOOSE = {
    "no asterisks": PLAN.replace("*", ""),
    "day a to b": re.sub(r"(\d)-(\d)", r"\1 to \2", PLAN),
    "day a - day b": re.sub(r"(\d)-(\d)", r"\1 - Day \2", PLAN),
    "days": PLAN.replace("Day", "Days"),
    "lower case": PLAN.replace("Day", "day"),
    "en dash": PLAN.replace("-", "–"),
    "em dash": PLAN.replace("-", "—"),
    "minus sign": PLAN.replace("-", "\u2212"),
    "one line": PLAN.replace("\n", " "),
    "bullets": PLAN.replace("**Day", "- **Day"),
    "numbered": "\n".join(f"{i}. {line}" for i, line in enumerate(PLAN.splitlines()[2:], start=1)),
    "headings": PLAN.replace("**Day", "### Day").replace(":**", ":"),
    "no flights": "\n".join(line for line in PLAN.splitlines() if "Fly" not in line),
    "short": "Day 1-5: Helsinki\nDay 5-9: Barcelona\nDay 9-14: Florence",
    "short, one line": "Days 1-5 in Helsinki; Days 5-9 in Barcelona; Days 9-14 in Florence.",
    "table": "| Day 1-5 | Helsinki |\n| Day 5-9 | Barcelona |\n| Day 9-14 | Florence |",
}


@pytest.mark.parametrize("plan", LOOSE.values(), ids=LOOSE.keys())
def test_loosely_written_plans_say_the_same(plan: str) -> None:
    assert read_plan(plan) == VISITS
    assert rate(plan) == 1.0


def test_official_form_is_read_alike_by_both() -> None:
    assert read_official(PLAN) == read_plan(PLAN) == VISITS


def test_day_by_day_plans_are_joined() -> None:
    plan = "Day 1: Visit Oslo\nDay 2: Explore Oslo\nDay 3: Stay in Oslo\nDay 3: Fly to Rome\nDay 4: Rome"
    assert read_plan(plan) == (Visit("Oslo", 1, 3), Visit("Rome", 3, 4))


def test_cities_may_have_several_words() -> None:
    stays = (Stay("New York", 3), Stay("York", 2), Stay("Aix-en-Provence", 2))
    flights = (Flight("New York", "York"), Flight("York", "Aix-en-Provence", one_way=True))
    constraints = Constraints(5, stays, (Event("York", 3, 4, "show"),), flights)
    assert parse_request(constraints.request()) == constraints
    assert [visit.city for visit in read_plan("Day 1-3: New York.\nDay 3: Fly from New York to York.")] == [
        "New York",
        "York",
    ]


@pytest.mark.parametrize(
    ("stays", "events", "complaint"),
    [
        ((Stay("Oslo", 3), Stay("Oslo", 3)), (), "names a city twice"),
        ((Stay("Oslo", 3), Stay("Rome", 3)), (Event("Rome", 3, 5, "show"),), "has an event in Rome"),
    ],
)
def test_requests_that_contradict_themselves_are_refused(
    stays: tuple[Stay, ...], events: tuple[Event, ...], complaint: str
) -> None:
    request = Constraints(5, stays, events, (Flight("Oslo", "Rome"),)).request()
    with pytest.raises(DataError, match=complaint):
        parse_request(request.replace("visit Rome for", "visit Riga for"))


def test_what_follows_the_announced_end_is_another_plan() -> None:
    assert read_plan(PLAN + "\n\nOr:\n**Day 14:** Fly from Florence to Rome.\n**Day 14-20:** Visit Rome.") == VISITS


REVERSED = PLAN.replace("Helsinki", "X").replace("Florence", "Helsinki").replace("X", "Florence")
SWAPPED = PLAN.replace("Helsinki", "X").replace("Barcelona", "Helsinki").replace("X", "Barcelona")
LONGER = PLAN.replace("9-14", "9-13") + "\n**Day 13:** Fly from Florence to Rome.\n**Day 13-14:** Visit Rome."
# How many of the eight checks are left: 1 total, 1 cities, 3 stays, 1 event, 2 hops.
MISTAKES = {
    "two cities swapped (no flight on)": (SWAPPED, 7),
    "order reversed (one flight the wrong way, two stays and the event missed)": (REVERSED, 4),
    "a hop dropped": ("\n".join(line for line in PLAN.splitlines() if "Fly from Barcelona" not in line), 3),
    "a change a day later (two stays, the event)": (PLAN.replace("9", "10"), 5),
    "the last stay cut short (total, stay, event)": (PLAN.replace("9-14", "9-13"), 5),
    "a city that nobody asked for": (PLAN.replace("Florence", "Rome"), 4),
    "a day late (total, a stay)": ("Day 2-5: Helsinki\nDay 5-9: Barcelona\nDay 9-14: Florence", 6),
    "no shared day": ("Day 1-5: Helsinki\nDay 6-9: Barcelona\nDay 9-14: Florence", 6),
    "a city too many (cities, a stay, the event)": (LONGER, 5),
}


@pytest.mark.parametrize(("plan", "passed"), MISTAKES.values(), ids=MISTAKES.keys())
def test_each_mistake_costs_its_checks(plan: str, passed: int) -> None:
    assert rate(plan) == pytest.approx(passed / 8)
    assert trip.exact_match(EXAMPLE, dspy.Prediction(plan=plan)) == 0.0


def test_missing_only_the_event_costs_one_check() -> None:
    moved = Constraints(14, CONSTRAINTS.stays, (Event("Florence", 8, 14, "friend"),), CONSTRAINTS.flights)
    assert trip.constraint_rate(moved, VISITS) == pytest.approx(7 / 8)


def test_official_score_ignores_what_follows_the_gold_plan() -> None:
    longer = PLAN.replace("for 14 days:", "for 20 days:") + "\n**Day 14:** Fly from Florence to Rome."
    assert trip.exact_match(EXAMPLE, dspy.Prediction(plan=longer)) == 1.0
    assert rate(longer) < 1.0


# More digits than int() takes: a model that repeats itself writes such days.
HUGE = f"Day {'1' * 5_000}-{'2' * 5_000}: Oslo"


@pytest.mark.parametrize(
    "plan", [None, "", "  ", "no idea", 7, ["Oslo"], {"a": 1}, "Day", "Day 1-5:", "9" * 10_000, HUGE]
)
def test_no_plan_scores_nothing(plan: object) -> None:
    assert rate(plan) == 0.0
    assert trip.exact_match(EXAMPLE, dspy.Prediction(plan=plan)) == 0.0
    assert trip.answer_key(dspy.Prediction(plan=plan)) is None


def test_no_prediction_scores_nothing() -> None:
    assert trip.quality(EXAMPLE, None) == trip.quality(EXAMPLE, dspy.Prediction()) == 0.0
    assert trip.answer_key(None) is None


def test_answer_key_is_the_same_for_the_same_plan() -> None:
    keys = {trip.answer_key(dspy.Prediction(plan=plan)) for plan in (PLAN, *LOOSE.values())}
    assert keys == {"Helsinki:5|Barcelona:5|Florence:6"}


WORDS = ["Day", "days", "1-5", "5", "1 to 3", ":", "**", "Fly from", "Helsinki", "Barcelona", "to", "Visit", "\n", ". "]


@given(st.one_of(st.text(), st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join)))
def test_any_text_scores_between_0_and_1(text: str) -> None:
    prediction = dspy.Prediction(plan=text)
    assert 0.0 <= trip.quality(EXAMPLE, prediction) <= 1.0
    assert (trip.answer_key(prediction) is None) == (not read_plan(text))
    # The score is of a plan read with the request's cities known, which finds a name where nothing else tells it.
    cities = [stay.city for stay in CONSTRAINTS.stays]
    assert trip.quality(EXAMPLE, prediction) == trip.constraint_rate(CONSTRAINTS, read_plan(text, cities))


@given(st.integers(0, len(PLAN)))
def test_a_plan_that_is_cut_never_beats_the_whole(length: int) -> None:
    assert rate(PLAN[:length]) <= rate(PLAN) == 1.0
