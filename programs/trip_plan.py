"""Reading a Trip plan: as the official evaluator does it, and as people and small models write it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Visit", "plan_text", "read_official", "read_plan"]


@dataclass(frozen=True)
class Visit:
    """One stay of a plan: the days `first` to `last`, both counted, in a city."""

    city: str
    first: int
    last: int

    @property
    def days(self) -> int:
        """Length in days; the day of a flight counts in both cities."""
        return self.last - self.first + 1


def plan_text(visits: list[Visit]) -> str:
    """Returns a plan in NaturalPlan's own form.

    Example:
        >>> print(plan_text([Visit("Oslo", 1, 3), Visit("Rome", 3, 4)]))
        Here is the trip plan for visiting the 2 European cities for 4 days:
        <BLANKLINE>
        **Day 1-3:** Arriving in Oslo and visit Oslo for 3 days.
        **Day 3:** Fly from Oslo to Rome.
        **Day 3-4:** Visit Rome for 2 days.
    """
    start = visits[0]
    lines = [
        f"Here is the trip plan for visiting the {len(visits)} European cities for {visits[-1].last} days:",
        "",
        f"**Day {start.first}-{start.last}:** Arriving in {start.city} and visit {start.city} for {start.days} days.",
    ]
    for here, there in pairwise(visits):
        lines.append(f"**Day {there.first}:** Fly from {here.city} to {there.city}.")
        lines.append(f"**Day {there.first}-{there.last}:** Visit {there.city} for {there.days} days.")
    return "\n".join(lines)


# Days have at most nine digits: a model that repeats a digit for ever must not reach int()'s limit.
_TOTAL = re.compile(r"European cities for (\d{1,9}) days")
_RANGE = re.compile(r"\d-(\d{1,9})")
_OFFICIAL_FLIGHT = re.compile(r".*Day (\d{1,9}).*from (\w+) to (\w+)")

_CITY = r"([^\W\d_a-z][\w'’]*(?:[ -][^\W\d_a-z][\w'’]*)*)"
_FLIGHT = re.compile(rf"\s*(?:On )?Day (\d{{1,9}})\b.*\b(?i:from)\s+{_CITY}\s+(?i:to)\s+{_CITY}")
_ENTRY = re.compile(r"\s*(?:On )?Day (\d{1,9})(?:-(\d{1,9}))?\b\W*(.*)")
_FLIGHT_TO = re.compile(rf"\b(?i:fly|flight|travel) (?i:to)\s+{_CITY}")
_PLACE = re.compile(rf"\b(?i:in|at|visit|visiting|explore|exploring)\s+{_CITY}")
_BARE_PLACE = re.compile(rf"{_CITY}\s*(?:$|[-(.,:;])")

_DASH = re.compile(r"[‐-―−]")
_MARKUP = re.compile(r"[*_#`|]|^\s*(?:[-•+]|\d+[.)])\s+", re.MULTILINE)
_DAYS = re.compile(r"\bdays?\s+(\d+)(?:\s*(?:-|to|through|until)\s*(?:day\s+)?(\d+))?", re.IGNORECASE)
_NEXT_ENTRY = re.compile(r"(?<=[.;,)!])[ \t]+(?=Day \d)")


def read_official(text: str) -> tuple[Visit, ...]:
    """Reads a plan by the rules of NaturalPlan's own evaluator (google-deepmind/natural-plan).

    The flights give the cities and the days of changing; of the day ranges only the last day is used. Reading stops
    at the line whose range ends on the total that the plan itself announced.

    Returns:
        The visits in order, none where a flight or a range of days is wanting.
    """
    return _read_flights(text, _OFFICIAL_FLIGHT)


def read_plan(text: str) -> tuple[Visit, ...]:
    """Reads a plan as `read_official` does, and also one that is written more loosely.

    Asterisks, bullets, the kind of dash, `Days 1 to 5` and line breaks make no difference, and cities may have several
    words. A plan that names no flights is read from its days; two cities then share a day only if it says so.

    Returns:
        The visits in order, none where the text holds no plan.

    Example:
        >>> read_plan("Days 1–3: Oslo. Days 3 to 4: Rome.")
        (Visit(city='Oslo', first=1, last=3), Visit(city='Rome', first=3, last=4))
    """
    tidy = _tidied(text)
    return _read_flights(tidy, _FLIGHT) or _read_days(tidy)


def _read_flights(text: str, pattern: re.Pattern[str]) -> tuple[Visit, ...]:
    total = last = None
    flights: list[tuple[int, str, str]] = []
    for line in text.split("\n"):
        if announced := _TOTAL.search(line):
            total = int(announced[1])
        if days := _RANGE.search(line):
            last = int(days[1])
            if last == total:
                break
        if flight := pattern.match(line):
            flights.append((int(flight[1]), flight[2], flight[3]))
    if last is None or not flights:
        return ()
    cities = [flights[0][1], *(destination for _, _, destination in flights)]
    days_of_change = [1, *(day for day, _, _ in flights), last]
    return tuple(Visit(city, *span) for city, span in zip(cities, pairwise(days_of_change), strict=True))


def _read_days(text: str) -> tuple[Visit, ...]:
    visits: list[Visit] = []
    for line in text.split("\n"):
        entry = _ENTRY.match(line)
        city = _city_of(entry[3]) if entry else None
        if entry is None or city is None:
            continue
        first, last = int(entry[1]), int(entry[2] or entry[1])
        if visits and visits[-1].city == city:
            visits[-1] = Visit(city, visits[-1].first, last)
        else:
            visits.append(Visit(city, first, last))
    return tuple(visits)


def _city_of(entry: str) -> str | None:
    found = _FLIGHT_TO.search(entry) or _PLACE.search(entry) or _BARE_PLACE.match(entry)
    return found[1] if found else None


def _tidied(text: str) -> str:
    """Returns the text with one entry a line, its days written as `Day 1-5` or `Day 5`, and no markup."""
    plain = _MARKUP.sub("", _DASH.sub("-", text))
    return _NEXT_ENTRY.sub("\n", _DAYS.sub(lambda days: f"Day {'-'.join(filter(None, days.groups()))}", plain))
