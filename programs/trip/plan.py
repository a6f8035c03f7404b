"""Reading a Trip plan: as the official evaluator does it, and as people and small models write it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from anytime_dspy.programs.trip.lines import Line, plan_lines

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
_FLIGHT = re.compile(r".*Day (\d{1,9}).*from (\w+) to (\w+)")

_CAPITALS = r"[^\W\d_a-z][\w'’]*(?:[ -][^\W\d_a-z][\w'’]*)*"
_SMALL = r"[^\W\d_][\w'’]*(?:-[^\W\d_][\w'’]*)*"
_REFUSAL = re.compile(
    r"(?:(?!\bdays?\s*\d).)*?\b(?:impossible|(?:not|no) (?:feasible|possible)|cannot be (?:done|met|planned|solved))\b",
    re.IGNORECASE | re.DOTALL,
)
_FLY = r"(?i:fly|flying|flight|travel|train|depart|move|go)"
# Words that stand where a city may stand, and are none.
_NO_CITY = re.compile(
    r"\b(?:arrival|conference|constraint|day|days|departure|duration|end|event|flight|flights|friends?|meeting|note"
    r"|relatives?|requirement|show|start|stay|summary|total|tour|travel|trip|visit|wedding|workshop)\b",
    re.IGNORECASE,
)


def read_official(text: str) -> tuple[Visit, ...]:
    """Reads a plan by the rules of NaturalPlan's own evaluator (google-deepmind/natural-plan).

    The flights give the cities and the days of changing; of the day ranges only the last day is used. Reading stops
    at the line whose range ends on the total that the plan itself announced.

    Returns:
        The visits in order, none where a flight or a range of days is wanting.
    """
    total = last = None
    flights: list[tuple[int, str, str]] = []
    for line in text.split("\n"):
        if announced := _TOTAL.search(line):
            total = int(announced[1])
        if days := _RANGE.search(line):
            last = int(days[1])
            if last == total:
                break
        if flight := _FLIGHT.match(line):
            flights.append((int(flight[1]), flight[2], flight[3]))
    return _flown(flights, last) if flights and last is not None else ()


def read_plan(text: str, cities: Iterable[str] = ()) -> tuple[Visit, ...]:
    """Reads a plan as `read_official` does, and also one that is written more loosely.

    Lists, tables, JSON, headings, bold type, the kind of dash, `Days 1 to 5`, `Day1-5` and line breaks make no
    difference, nor whether the days or the city come first. Where the plan names flights they decide, as they do for
    the official evaluator; one without flights is read from its stays, and two cities then share a day only if it says
    so. What goes back in time, such as a remark after the plan, is not part of it (docs/tasks.md).

    Args:
        text: The plan.
        cities: Those asked for, which are known in any case and spelling of accents; others need a capital, unless the
            whole text has none.

    Returns:
        The visits in order, none where the text holds no plan.

    Example:
        >>> read_plan("Days 1–3: Oslo. Days 3 to 4: Rome.") == read_plan("Oslo (Day1-3) → Rome (Day3-4)")
        True
        >>> read_plan("oslo: days 1, 2, 3", cities=["Oslo"])
        (Visit(city='Oslo', first=1, last=3),)
    """
    names = _Names.of(cities, _SMALL if text.islower() else _CAPITALS)
    visits = _read(text, names)
    if visits or cities:
        return visits
    return _read(text, _Names.of((), _SMALL))


@dataclass(frozen=True)
class _Names:
    """How cities are recognised: those that are known by `key`, others by their `pattern`."""

    known: dict[str, str]
    pattern: str

    @classmethod
    def of(cls, cities: Iterable[str], other: str) -> _Names:
        known = {_folded(city): city for city in cities}
        either = [rf"(?i:{re.escape(city)})(?!\w)" for city in sorted(known.values(), key=len, reverse=True)]
        return cls(known, rf"(?<!\w)(?:{'|'.join((*either, other))})")

    def city(self, found: str) -> str | None:
        """Returns the city that a name stands for, None where it is no city's name."""
        known = self.known.get(_folded(found))
        if known is None and _NO_CITY.search(found):
            return None
        return known or (found.title() if found.islower() else found)


def _folded(name: str) -> str:
    return "".join(sign for sign in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(sign))


def _read(text: str, names: _Names) -> tuple[Visit, ...]:
    announced = _TOTAL.search(text)
    total = int(announced[1]) if announced else None
    lines = plan_lines(text, names.pattern)
    flown = _by_flights(lines, names, total)
    # Days that follow "it is impossible" say why it is, unless flights make a plan of them.
    return flown if flown or _REFUSAL.match(text) else _by_stays(lines, names, total)


def _by_flights(lines: list[Line], names: _Names, total: int | None) -> tuple[Visit, ...]:
    name = names.pattern
    flight = re.compile(
        rf".*\b(?i:from)\s+({name})\s*(?:→|\s(?i:to)\s)\s*({name})"
        rf"|(?:{_FLY}\b[\s:]*)?({name})\s*→\s*({name})(?!.*→)"
        rf"|{_FLY}\b[\s:]*({name})\s+(?i:to)\s+({name})"
    )
    flights: list[tuple[int, str, str]] = []
    first = last = 0
    for line in lines:
        if line.first < first:
            break
        first, last = line.first, line.last
        if found := flight.match(line.text):
            here, there = (names.city(part) for part in found.groups() if part)
            if here and there:
                flights.append((line.first, here, there))
        if line.last == total:
            break
    return _flown(flights, last) if flights else ()


def _flown(flights: list[tuple[int, str, str]], last: int) -> tuple[Visit, ...]:
    cities = [flights[0][1], *(destination for _, _, destination in flights)]
    days_of_change = [1, *(day for day, _, _ in flights), last]
    return tuple(Visit(city, *span) for city, span in zip(cities, pairwise(days_of_change), strict=True))


def _by_stays(lines: list[Line], names: _Names, total: int | None) -> tuple[Visit, ...]:
    visits: list[Visit] = []
    for line in lines:
        city = _city_of(line.text, names)
        if city is None:
            continue
        before = [visit for visit in visits if visit.first <= line.first]
        same = next((visit for visit in reversed(visits) if visit.city == city), None)
        if len(before) == len(visits) and visits and same is visits[-1]:
            visits[-1] = Visit(city, same.first, max(same.last, line.last))
        elif len(before) == len(visits) or _is_free(line, visits):
            visits.insert(len(before), Visit(city, line.first, line.last))
        elif same is None or not (same.first <= line.first and line.last <= same.last):
            break  # another plan, or a remark
        if line.last == total and len(before) == len(visits) - 1:
            break
    return tuple(visits)


def _is_free(line: Line, visits: list[Visit]) -> bool:
    """Returns whether no visit is on the line's days, but for those of a flight."""
    return all(line.last <= visit.first or visit.last <= line.first for visit in visits)


def _city_of(text: str, names: _Names) -> str | None:
    name = names.pattern
    found = (
        re.match(rf".*?\b(?i:fly|flight|travel|go|move) (?i:to)\s+({name})", text),
        re.match(rf".*?\b(?i:in|at|visit|visiting|explore|exploring)\s+({name})", text),
        re.match(rf"({name})\s*(?:\Z|[-(.,:;]|(?i:for)\b)", text),
    )
    cities = [city for match in found if match and (city := names.city(match[1]))]
    asked = [city for city in cities if city in names.known.values()]
    named = [known for known in names.known.values() if re.search(rf"(?i:(?<!\w){re.escape(known)}(?!\w))", text)]
    # One that was asked for is meant rather than a museum; and where no pattern finds it, one that alone is named.
    return next(iter(asked or (named if len(named) == 1 else cities)), None)
