"""New, solvable Trip requests in NaturalPlan's grammar, each with a gold plan."""

from __future__ import annotations

from itertools import combinations, pairwise
from random import Random

import dspy

from anytime_dspy.errors import DataError
from anytime_dspy.programs.trip.grammar import EVENT_WORDINGS, STAY_WORDINGS, Constraints, Event, Flight, Stay
from anytime_dspy.programs.trip.plan import Visit, plan_text

__all__ = ["CITIES", "generate"]

_CITY_NAMES = """
    Amsterdam Athens Barcelona Berlin Brussels Bucharest Budapest Copenhagen Dublin Dubrovnik Edinburgh Florence
    Frankfurt Geneva Hamburg Helsinki Istanbul Krakow Lisbon London Lyon Madrid Manchester Milan Munich Mykonos Naples
    Nice Oslo Paris Porto Prague Reykjavik Riga Rome Salzburg Santorini Seville Split Stockholm Stuttgart Tallinn
    Valencia Venice Vienna Vilnius Warsaw Zurich
"""
CITIES = tuple(_CITY_NAMES.split())
# Shares that are close to those counted in the published instances.
DAYS, DAYS_WEIGHTS = (2, 3, 4, 5, 6, 7), (6, 6, 6, 6, 1, 1)
EVENTS, EVENTS_WEIGHTS = (0, 1, 2, 3, 4, 5), (1, 18, 30, 27, 18, 6)
ONE_WAY_SHARE = 0.04
EXTRA_FLIGHT_SHARE = 0.5


def generate(n: int, seed: int, *, cities: tuple[int, int] = (3, 10)) -> list[dspy.Example]:
    """Makes new Trip examples.

    A gold plan is drawn first and the request is written so that this plan meets it; other plans may meet it too, so
    score by constraints rather than by exact match.

    Args:
        n: How many.
        seed: Example i depends on the seed, i and `cities` alone.
        cities: The least and the largest number of cities, drawn evenly.

    Returns:
        Examples like those of `trip.load`, with ids `trip-gen-{seed}-{i}`.

    Raises:
        DataError: The numbers of cities are out of range.
    """
    least, most = cities
    if not 2 <= least <= most <= len(CITIES):
        raise DataError(f"cannot make trips of {least} to {most} cities: choose from 2 to {len(CITIES)}")
    return [_example(seed, i, least, most) for i in range(n)]


def _example(seed: int, index: int, least: int, most: int) -> dspy.Example:
    random = Random(f"trip-{seed}-{index}")
    visits = _gold_plan(random, random.randint(least, most))
    return dspy.Example(
        id=f"trip-gen-{seed}-{index}",
        request=_constraints(random, visits).request(),
        plan=plan_text(visits),
        cities=tuple(visit.city for visit in visits),
        durations=tuple(visit.days for visit in visits),
    ).with_inputs("request")


def _gold_plan(random: Random, n: int) -> list[Visit]:
    visits: list[Visit] = []
    first = 1
    for city, days in zip(random.sample(CITIES, n), random.choices(DAYS, DAYS_WEIGHTS, k=n), strict=True):
        visits.append(Visit(city, first, first + days - 1))
        first = visits[-1].last
    return visits


def _constraints(random: Random, visits: list[Visit]) -> Constraints:
    mentioned = random.sample(visits, len(visits))
    with_event = random.sample(visits, min(len(visits), random.choices(EVENTS, EVENTS_WEIGHTS)[0]))
    return Constraints(
        total_days=visits[-1].last,
        stays=tuple(Stay(visit.city, visit.days, random.choice(tuple(STAY_WORDINGS))) for visit in mentioned),
        events=tuple(
            Event(visit.city, visit.first, visit.last, random.choice(tuple(EVENT_WORDINGS)))
            for visit in mentioned
            if visit in with_event
        ),
        flights=_flights(random, [visit.city for visit in visits]),
    )


def _flights(random: Random, route: list[str]) -> tuple[Flight, ...]:
    hops = list(pairwise(route))
    others = (pair for pair in combinations(route, 2) if pair not in hops)
    extra = [random.choice((pair, pair[::-1])) for pair in others if random.random() < EXTRA_FLIGHT_SHARE]
    flights = [_flight(random, origin, destination) for origin, destination in hops + extra]
    random.shuffle(flights)
    return tuple(flights)


def _flight(random: Random, origin: str, destination: str) -> Flight:
    if random.random() < ONE_WAY_SHARE:
        return Flight(origin, destination, one_way=True)
    # In which order a two-way flight is listed must not tell the way that the gold plan takes.
    return Flight(origin, destination) if random.random() < 0.5 else Flight(destination, origin)
