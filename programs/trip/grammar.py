"""The closed grammar of NaturalPlan Trip requests, read and written from one set of wordings.

The wordings are those of NATURAL PLAN (Zheng et al. 2024, arXiv 2406.04520), its spelling mistakes included.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from anytime_dspy.errors import DataError

__all__ = ["EVENT_WORDINGS", "STAY_WORDINGS", "Constraints", "Event", "Flight", "Stay", "parse_request"]

STAY_WORDINGS: Mapping[str, str] = MappingProxyType(
    {
        "visit": "You would like to visit {city} for {days} days.",
        "stay": "You plan to stay in {city} for {days} days.",
        "spend": "You want to spend {days} days in {city}.",
    }
)
EVENT_WORDINGS: Mapping[str, str] = MappingProxyType(
    {
        "wedding": "You are going to attend a wedding in {city} between day {first} and day {last}.",
        "friend": "You want to meet a friend in {city} between day {first} and day {last}.",
        "workshop": "You have to attend a workshop in {city} between day {first} and day {last}.",
        "relatives": "You plan to visit relatives in {city} between day {first} and day {last}.",
        "show": "From day {first} to day {last}, there is a annual show you want to attend in {city}.",
        "friends": (
            "You would like to meet your friends at {city} between day {first} and day {last} to tour together."
        ),
        "conference": "During day {first} and day {last}, you have to attend a conference in {city}.",
    }
)
_OPENING = (
    "You plan to visit {cities} European cities for {days} days in total. "
    "You only take direct flights to commute between cities."
)
_FLIGHTS = "Here are the cities that have direct flights:"
_CLOSING = "Find a trip plan of visiting the cities for {days} days by taking direct flights to commute between them."


@dataclass(frozen=True)
class Stay:
    """A number of `days` to spend in a city; `wording` is a key of `STAY_WORDINGS`."""

    city: str
    days: int
    wording: str = "visit"


@dataclass(frozen=True)
class Event:
    """Something to attend in a city, from day `first` to day `last`; `kind` is a key of `EVENT_WORDINGS`."""

    city: str
    first: int
    last: int
    kind: str


@dataclass(frozen=True)
class Flight:
    """A direct flight, in both directions unless `one_way`."""

    origin: str
    destination: str
    one_way: bool = False


@dataclass(frozen=True)
class Constraints:
    """What a plan has to meet.

    Attributes:
        total_days: Length of the whole trip in days.
        stays: The cities to visit, in the order in which the request names them.
        events: At most one event a city.
        flights: Every direct flight there is.
    """

    total_days: int
    stays: tuple[Stay, ...]
    events: tuple[Event, ...]
    flights: tuple[Flight, ...]

    def connects(self, origin: str, destination: str) -> bool:
        """Returns whether a direct flight goes from `origin` to `destination`."""
        return any(
            (flight.origin, flight.destination) == (origin, destination)
            or (not flight.one_way and (flight.destination, flight.origin) == (origin, destination))
            for flight in self.flights
        )

    def request(self) -> str:
        """Returns the request in NaturalPlan's words; `parse_request` reads it back to the same constraints."""
        event_in = {event.city: event for event in self.events}
        sentences = [_OPENING.format(cities=len(self.stays), days=self.total_days)]
        for stay in self.stays:
            sentences.append(STAY_WORDINGS[stay.wording].format(city=stay.city, days=stay.days))
            if event := event_in.get(stay.city):
                wording = EVENT_WORDINGS[event.kind]
                sentences.append(wording.format(city=event.city, first=event.first, last=event.last))
        flights = ", ".join(
            f"from {flight.origin} to {flight.destination}"
            if flight.one_way
            else f"{flight.origin} and {flight.destination}"
            for flight in self.flights
        )
        return f"{' '.join(sentences)}\n\n{_FLIGHTS}\n{flights}.\n\n{_CLOSING.format(days=self.total_days)}"


def _pattern(wording: str) -> re.Pattern[str]:
    city = r"(?P<city>[^\W\d_][^\d,:]*?)"
    pattern = re.escape(wording).replace(r"\{city\}", city)
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>\\d{1,9})", pattern))


_OPENING_PATTERN = _pattern(_OPENING)
_CLOSING_PATTERN = _pattern(_CLOSING)
_STAY_PATTERNS = MappingProxyType({key: _pattern(wording) for key, wording in STAY_WORDINGS.items()})
_EVENT_PATTERNS = MappingProxyType({key: _pattern(wording) for key, wording in EVENT_WORDINGS.items()})


def parse_request(text: str) -> Constraints:
    """Reads a Trip request.

    Args:
        text: The bare request: what to visit, the direct flights and the closing sentence, with blank lines between.

    Returns:
        Its constraints.

    Raises:
        DataError: Any part of the text is not in the grammar, or its numbers of cities or days disagree.
    """
    blocks = text.strip().split("\n\n")
    if len(blocks) != 3:
        raise DataError(f"a Trip request has three blocks with blank lines between, this one has {len(blocks)}")
    wishes, flight_list, closing = (block.strip() for block in blocks)
    opening = _OPENING_PATTERN.match(wishes)
    if opening is None:
        raise _leftover(wishes)
    ending = _CLOSING_PATTERN.fullmatch(closing)
    if ending is None:
        raise _leftover(closing)
    if opening["days"] != ending["days"]:
        raise DataError(f"a Trip request asks for {opening['days']} days first and for {ending['days']} at its end")
    stays, events = _parse_wishes(wishes[opening.end() :])
    if len(stays) != int(opening["cities"]):
        raise DataError(f"a Trip request announces {opening['cities']} cities and names {len(stays)}")
    flights = _parse_flights(flight_list, [stay.city for stay in stays])
    return Constraints(int(opening["days"]), stays, events, flights)


def _parse_wishes(text: str) -> tuple[tuple[Stay, ...], tuple[Event, ...]]:
    stays: list[Stay] = []
    events: list[Event] = []
    rest = text.strip()
    while rest:
        for wording, pattern in _STAY_PATTERNS.items():
            if match := pattern.match(rest):
                stays.append(Stay(match["city"], int(match["days"]), wording))
                break
        else:
            for kind, pattern in _EVENT_PATTERNS.items():
                if match := pattern.match(rest):
                    events.append(Event(match["city"], int(match["first"]), int(match["last"]), kind))
                    break
            else:
                raise _leftover(rest)
        rest = rest[match.end() :].lstrip()
    cities = {stay.city for stay in stays}
    if len(cities) != len(stays):
        raise DataError("a Trip request names a city twice")
    for event in events:
        if event.city not in cities:
            raise DataError(f"a Trip request has an event in {event.city}, which it does not ask to visit")
    return tuple(stays), tuple(events)


def _parse_flights(text: str, cities: Iterable[str]) -> tuple[Flight, ...]:
    if not text.startswith(_FLIGHTS) or not text.endswith("."):
        raise _leftover(text)
    city = "|".join(map(re.escape, cities))
    pattern = re.compile(rf"from ({city}) to ({city})|({city}) and ({city})")
    flights = []
    for entry in text[len(_FLIGHTS) : -1].strip().split(", "):
        match = pattern.fullmatch(entry)
        if match is None:
            raise _leftover(entry)
        one_way = match[1] is not None
        flights.append(Flight(match[1] or match[3], match[2] or match[4], one_way))
    return tuple(flights)


def _leftover(text: str) -> DataError:
    return DataError(f"not in the grammar of a Trip request: {text[:80]!r}")
