"""The forms in which models write a trip plan, and what a careful reader takes from each.

The plan is always Oslo 1-3, Rome 3-5, Aix-en-Provence 5-8; where another is meant the row says so.
"""

from __future__ import annotations

import json

import dspy
import pytest

from anytime_dspy.programs import trip
from anytime_dspy.programs.trip.grammar import Constraints, Event, Flight, Stay
from anytime_dspy.programs.trip.plan import Visit, plan_text, read_official, read_plan

VISITS = (Visit("Oslo", 1, 3), Visit("Rome", 3, 5), Visit("Aix-en-Provence", 5, 8))
CITIES = tuple(visit.city for visit in VISITS)
REQUEST = Constraints(
    total_days=8,
    stays=(Stay("Rome", 3), Stay("Aix-en-Provence", 4), Stay("Oslo", 3)),
    events=(Event("Oslo", 1, 3, "wedding"),),
    flights=(Flight("Oslo", "Rome"), Flight("Rome", "Aix-en-Provence", one_way=True)),
)
EXAMPLE = dspy.Example(request=REQUEST.request(), cities=CITIES, durations=(3, 3, 4)).with_inputs("request")
PLAN = plan_text(list(VISITS))
NO_TOTAL = PLAN.partition("\n\n")[2]


def written(form: str, joint: str = "\n") -> str:
    """The plan with each stay in the given form."""
    stays = enumerate(VISITS, start=1)
    return joint.join(
        form.format(n=n, city=stay.city, first=stay.first, last=stay.last, days=stay.days) for n, stay in stays
    )


STAYS = written("Day {first}-{last}: {city}")
WRONG = "Day 1-4: Rome\nDay 4-8: Oslo"
FORMS = {
    "official": PLAN,
    "no heading": NO_TOTAL,
    "a remark after the plan": f"{NO_TOTAL}\n\nThis meets every wish: Oslo falls on Day 1-3.",
    "a remark that begins with the days": f"{NO_TOTAL}\nDay 1-3 covers the wedding in Oslo.",
    "a remark in the city's name": f"{NO_TOTAL}\nOslo: Day 1-3 (the wedding).",
    "a remark about the whole": f"{NO_TOTAL}\nTotal: Day 1-8.",
    "a heading with all days": f"Total: Day 1-8\n{STAYS}",
    "stays after the announced total": f"{PLAN.splitlines()[0]}\n{STAYS}\n\nOr:\nDay 8-12: Rome",
    "a day without a city": STAYS.replace("\n", "\nDay 3: pack, and go.\n", 1),
    "a remark amid the stays": STAYS.replace("\nDay 5", "\nDay 1-3 was the wedding in Oslo.\nDay 5"),
    "a remark on a part": STAYS.replace("\nDay 5", "\nDay 2 was the wedding in Oslo.\nDay 5"),
    "impossible otherwise": f"{STAYS}\nAnother order is impossible.",
    "a wish that is not met": f"{STAYS}\nDay 2-4 in Rome would be nicer.\nDay 8-9: Oslo",
    "no dot between the flights": NO_TOTAL.replace("Fly from", "Flight:"),
    "a remark after stays": f"{STAYS}\nThe wedding in Oslo is on Day 1-3.",
    "days of a remark after stays": f"{STAYS}\nDay 1-3 covers the wedding in Oslo.",
    "city first, colon": written("{city}: Day {first}-{last}"),
    "city first, brackets": written("{city} (Days {first}-{last})"),
    "city first, bare range": written("{city} ({first}-{last})"),
    "city first, dash": written("{city} - Day {first} to {last}"),
    "city first, what to see": written("{city} (Day {first}-{last}): the old town"),
    "city first, one line": written("{city}: Day {first}-{last}", ", "),
    "city first, a sentence": written("visit {city} from day {first} to day {last}", ", then "),
    "city first, labelled": written("City: {city}, Days: {first}-{last}"),
    "no space": written("Day{first}-{last}: {city}"),
    "day to day": written("Day {first} to Day {last}: {city}"),
    "days through": written("Days {first} through {last}: {city}"),
    "listed days": "Days 1, 2, 3: Oslo\nDays 3, 4 and 5: Rome\nDays 5, 6, 7, 8: Aix-en-Provence",
    "numbered with lengths": written("{n}. {city} - {days} days (Day {first}-{last})"),
    "lengths after the days": written("Day {first}-{last} ({days} days): {city}"),
    "bold and italic": written("**{city}** (*Day {first}-{last}*)"),
    "bullets": "* Day 1-3: Oslo\n• Day 3-5: Rome\n- Day 5-8: Aix-en-Provence",
    "headings": written("### Day {first}-{last}: {city}\n- the old town\n"),
    "days above": written("**Days {first}-{last}**\n{city}: the old town\n"),
    "arrows between stays": written("{city} (Day {first}-{last})", " → "),
    "arrows of ASCII": written("{city}: Day {first}-{last}", " -> "),
    "arrows as flights": NO_TOTAL.replace("Fly from ", "").replace(" to ", " → "),
    "flights with their day last": (
        "Day 1-3: Oslo\nFly from Oslo to Rome on Day 3.\nDay 3-5: Rome\nFly from Rome to Aix-en-Provence on Day 5.\n"
        "Day 5-8: Aix-en-Provence"
    ),
    "flights with their day last, a stay left out": (
        "Day 1-3: Oslo\nFly from Oslo to Rome on Day 3.\nFly from Rome to Aix-en-Provence on Day 5.\nDay 5-8: markets"
    ),
    "stays, then the flights": f"{STAYS}\n\nFlights:\nDay 3: from Oslo to Rome\nDay 5: from Rome to Aix-en-Provence",
    "day by day": (
        "Day 1: Arrive in Oslo.\nDay 2: Explore Oslo.\nDay 3: Fly from Oslo to Rome.\nDay 4: Explore Rome.\n"
        "Day 5: Fly from Rome to Aix-en-Provence.\nDay 6: Visit Aix-en-Provence.\nDay 7: Rest.\n"
        "Day 8: Visit Aix-en-Provence."
    ),
    "table": "| Days | City |\n|---|---|\n" + written("| {first}-{last} | {city} |"),
    "table, city first": "| City | Days |\n|:--|:--|\n" + written("| {city} | Day {first}-{last} |"),
    "table with more": (
        "| # | City | Days | Length |\n|---|---|---|---|\n" + written("| {n} | {city} | {first}–{last} | {days} days |")
    ),
    "table, day by day": (
        "| Day | City |\n|---|---|\n| 1 | Oslo |\n| 2 | Oslo |\n| 3 | Oslo |\n| 3 | Rome |\n| 4 | Rome |\n"
        "| 5 | Rome |\n| 5 | Aix-en-Provence |\n| 8 | Aix-en-Provence |"
    ),
    "lower case": PLAN.lower(),
    "lower case, short": STAYS.lower(),
    "lower case, city first": written("{city}: day {first}-{last}").lower(),
    "capitals": STAYS.upper(),
    "museums": (
        "Day 1-3: See the Munch Museum in Oslo\nDay 3-5: At Piazza Navona in Rome\n"
        "Day 5-8: Enjoy lovely Aix-en-Provence"
    ),
    "out of order": "Rome: Day 3-5\nAix-en-Provence: Day 5-8\nOslo: Day 1-3",
    "a draft and the final plan": f"{WRONG}\n\nFinal plan:\n{NO_TOTAL}",
    "a draft and its correction": f"{WRONG}\n\nHere is the corrected itinerary:\n\n{NO_TOTAL}",
    "an alternative": f"{NO_TOTAL}\n\nAlternatively:\n{WRONG}",
    "JSON": json.dumps([{"city": stay.city, "start_day": stay.first, "end_day": stay.last} for stay in VISITS]),
    "JSON of ranges": json.dumps(
        {"plan": [{"days": f"{stay.first}-{stay.last}", "city": stay.city} for stay in VISITS]}
    ),
    "JSON of texts": json.dumps(STAYS.split("\n")),
    "JSON by city": json.dumps({stay.city: [stay.first, stay.last] for stay in VISITS}),
    "JSON with flights": json.dumps(
        {
            "itinerary": [
                {"day_range": "Day 1-3", "place": "Oslo"},
                {"flying": "Day 3-3", "from": "Oslo", "to": "Rome"},
                {"day_range": "Day 3-5", "place": "Rome"},
                {"flying": "Day 5-5", "from": "Rome", "to": "Aix-en-Provence"},
                {"day_range": "Day 5-8", "place": "Aix-en-Provence"},
            ]
        }
    ),
    "JSON in a fence": (
        '```json\n[{"day": 1, "city": "Oslo"}, {"day": 3, "city": "Oslo"}, {"day": 3, "city": "Rome"}, '
        '{"day": 5, "city": "Rome"}, {"day": "5-8", "city": "Aix-en-Provence"}]\n```'
    ),
    "Python": str([{"city": stay.city, "days": f"{stay.first}-{stay.last}"} for stay in VISITS]),
}


@pytest.mark.parametrize("plan", FORMS.values(), ids=FORMS.keys())
def test_trip_plans_are_read_as_a_careful_human_reads_them(plan: str) -> None:
    """Kind 19: a remark changes nothing, and no form that says the plan clearly is lost."""
    assert read_plan(plan, CITIES) == VISITS
    assert trip.quality(EXAMPLE, dspy.Prediction(plan=plan)) == 1.0


@pytest.mark.parametrize("plan", FORMS.values(), ids=FORMS.keys())
def test_a_plan_that_scores_has_a_key(plan: str) -> None:
    assert trip.answer_key(dspy.Prediction(plan=plan)) is not None


def test_only_the_official_form_is_read_by_the_official_reader() -> None:
    one_word = PLAN.replace("Aix-en-Provence", "Aix")
    assert read_official(one_word) == read_plan(one_word)
    assert read_official(FORMS["city first, colon"]) == ()


NO_PLANS = {
    "none": "I cannot plan this.",
    "lengths alone": "Oslo: 3 days\nRome: 3 days\nAix-en-Provence: 4 days",
    "lengths in a table": "| City | Days |\n|---|---|\n| Oslo | 3 |\n| Rome | 3 |\n| Aix-en-Provence | 4 |",
    "a route alone": "Oslo → Rome → Aix-en-Provence",
    "what was asked": (
        "It is impossible, for these reasons:\n* **Oslo Wedding:** You have to be in Oslo between days 1 and 3.\n"
        "* **Rome Constraint:** You MUST be in Rome from day 4-7."
    ),
    "prose about days": "The wedding in Oslo (Day 1-3) needs two full days there, so nothing fits.",
    "why it is impossible": (
        "This is impossible within the 8-day timeframe.\n* **Oslo (3 days, days 1-3):** This locks our start.\n"
        "* **Rome (3 days, days 3-5):** This follows well.\n"
        "* **Aix-en-Provence (4 days, days 5-8):** No flight leads there."
    ),
    "days alone": "Day 1-3\nDay 3-5\nDay 5-8",
    "JSON without days": '[{"city": "Oslo"}, {"city": "Rome"}]',
    "not feasible": f"No feasible trip, it is not possible and cannot be planned:\n{STAYS}",
    "cannot be done": f"This cannot be done, and here is why.\n{STAYS}",
    "broken JSON": '[{"city": "Oslo", "days": ',
    "deep JSON": "[" * 50_000 + "]" * 50_000,
    "numbers that never end": f"| {'1' * 5_000}-{'2' * 5_000} | Oslo |",
}


@pytest.mark.parametrize("text", NO_PLANS.values(), ids=NO_PLANS.keys())
def test_what_gives_no_days_is_no_plan(text: str) -> None:
    assert read_plan(text, CITIES) == ()
    assert trip.quality(EXAMPLE, dspy.Prediction(plan=text)) == 0.0


def test_a_city_that_nobody_asked_for_counts_in_every_form() -> None:
    for form in ("{city}: Day {first}-{last}", "Day {first}-{last}: {city}", "| {city} | Day {first}-{last} |"):
        stays = (*VISITS, Visit("Bergen", 8, 9))
        plan = "\n".join(form.format(city=visit.city, first=visit.first, last=visit.last) for visit in stays)
        assert read_plan(plan, CITIES) == stays
        assert read_plan(plan.lower(), CITIES) == stays


def test_a_small_name_is_a_name_where_the_cities_are_not_known() -> None:
    assert read_plan("Day 1-3: oslo\nDay 3-4: Fly to rome") == (Visit("Oslo", 1, 3), Visit("Rome", 3, 4))


def test_accents_make_no_difference() -> None:
    assert read_plan("Kraków: Day 1-3", ["Krakow"]) == (Visit("Krakow", 1, 3),)


def test_the_table_is_worth_its_name() -> None:
    assert len(set(FORMS.values())) == len(FORMS) >= 40
