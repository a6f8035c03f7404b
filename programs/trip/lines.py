"""Brings a Trip plan to one form, whatever form it has: a line for each stay and flight, its days first."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Line", "plan_lines"]

# At most nine digits: a model that repeats a digit for ever must not reach int()'s limit.
_NUMBER = r"(?<!\d)\d{1,9}(?!\d)"
_TO = r"(?:-|to|through|thru|until|till)"
_RANGE = re.compile(rf"\bdays?\s*[:#]?\s*({_NUMBER})\s*{_TO}\s*(?:days?\s*)?({_NUMBER})", re.IGNORECASE)
_DAY_LIST = re.compile(
    rf"\bdays?\s*[:#]?\s*({_NUMBER})((?:\s*(?:,|&|,?\s*\band\b)\s*(?:days?\s*)?{_NUMBER}(?!-|:\d))*)(?!\d)",
    re.IGNORECASE,
)
_DAY = rf"Day ({_NUMBER})(?:-({_NUMBER}))?"
_LENGTH = re.compile(
    rf"[(\[]?\s*\b(?:for\s+)?(?:a total of\s+)?{_NUMBER}[ -](?:full\s+)?(?:days?|nights?)\b\s*[)\]]?", re.IGNORECASE
)

_DASH = re.compile(r"[‐-―−]")
_ARROW = re.compile(r"\s*(?:[-=]+>|[→⟶➜➔➡⇒]\ufe0f?)\s*")
_MARKUP = re.compile(r"[*_#`>]|^\s*(?:[-•+]|\d+[.)])\s+", re.MULTILINE)
_FINAL = re.compile(
    r"^[^\n\w]*(?:\w+ ){0,4}(?:final|corrected|revised|updated)\b[^\n.]{0,40}(?::|plan|itinerary|schedule)\W*$",
    re.IGNORECASE | re.MULTILINE,
)
_NEXT_ENTRY = re.compile(r"(?<=[.;,)!])[ \t]+(?=Day \d)")
_STARTS = re.compile(rf"\s*(?:(?:On|From|Between|During) )?{_DAY}\b\W*(.*)", re.IGNORECASE)
_BARE_DAYS = re.compile(rf"({_NUMBER})\s*(?:-|to)\s*({_NUMBER})")
_DAY_COLUMN = re.compile(r"\W*(?:days?|dates?|when|day range)\W*", re.IGNORECASE)


@dataclass(frozen=True)
class Line:
    """What a plan says of the days `first` to `last`."""

    first: int
    last: int
    text: str


def plan_lines(text: str, name: str) -> list[Line]:
    """Returns what a plan says, day by day or stay by stay, in its own order.

    Args:
        text: The plan: prose, a list, a table, or JSON.
        name: A regular expression, without groups, for the name of a city.
    """
    plain = _ARROW.sub(" → ", _DASH.sub("-", text))
    final = [found.end() for found in _FINAL.finditer(plain)]
    for start in (*reversed(final), 0):
        lines = [line for raw in _raw_lines(plain[start:]) for line in _read(raw, name)]
        if any(line.text for line in lines):
            return lines
    return []


def _raw_lines(text: str) -> Iterator[str]:
    """Yields the lines of a text, those of its JSON or of its tables written out."""
    data = _json(text)
    if data is not None:
        yield from _json_lines(data)
        return
    lines = _joined([_tidied(line) for line in _MARKUP.sub("", text).split("\n")])
    heads: list[str] = []
    for line in lines:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) == 1:
            heads = []
            yield line
        elif not heads:
            heads = cells
            yield _row(cells, cells)
        else:
            yield _row(cells, heads)


def _row(cells: list[str], heads: list[str]) -> str:
    """Returns a row of a table as text, its days first; a bare number is a day only under a head that says so."""
    days = [cell for cell in cells if re.search(_DAY, cell)]
    for cell, head in zip(cells, heads, strict=False):
        if found := _BARE_DAYS.fullmatch(cell):
            days.append(f"Day {found[1]}-{found[2]}")
        elif re.fullmatch(_NUMBER, cell) and re.fullmatch(r"\W*day\W*", head, re.IGNORECASE):
            days.append(f"Day {cell}")
    rest = [cell for cell in cells if re.search(r"[^\W\d_]", cell) and cell not in days and not _LENGTH.fullmatch(cell)]
    return f"{days[0]}: {', '.join(rest)}" if len(days) == 1 else " ".join(cells)


def _tidied(line: str) -> str:
    """Returns a line with its days written as `Day 1-5` or `Day 5`."""
    return _DAY_LIST.sub(_listed, _RANGE.sub(r"Day \1-\2", line))


def _listed(found: re.Match[str]) -> str:
    """Returns days that are listed one by one as a range, where none is left out."""
    first = int(found[1])
    days = [first, *map(int, re.findall(_NUMBER, found[2]))]
    if len(days) == 1 or days != list(range(first, first + len(days))):
        return f"Day {first}{found[2]}"
    return f"Day {first}-{days[-1]}"


def _joined(lines: list[str]) -> list[str]:
    """Returns the lines, with days that stand alone put before the line below them."""
    joined: list[str] = []
    alone = False
    for line in filter(str.strip, lines):
        if alone and not re.search(_DAY, line):
            joined[-1] += f": {line.strip()}"
            alone = False
        else:
            joined.append(line)
            alone = re.fullmatch(rf"\s*{_DAY}\W*", line) is not None
    return joined


def _read(line: str, name: str) -> Iterator[Line]:
    """Yields what a line says, where its days stand after a city or before a text."""
    if not _STARTS.match(line) and (stays := list(_cities_first(line, name))):
        yield from stays
        return
    for part in _NEXT_ENTRY.split(line):
        if starts := _STARTS.match(part):
            yield _line(starts[1], starts[2], re.sub(r"\A\W+", "", _LENGTH.sub(" ", starts[3])))


def _cities_first(line: str, name: str) -> Iterator[Line]:
    """Yields the stays of `Oslo (Day 1-3): fjords` and `Oslo: Day 1-3 → Rome: Day 3-5`, and `Oslo → Rome (Day 3)`."""
    words = r"(?:(?i:city|stop|stay|visit|explore|arrive|fly|flight|travel|in|at|from|to)\b(?: \d+)?[\s:]*)*"
    ahead = rf"\s*{words}({name})"
    between = r"[\s:(\[,-]*(?:(?i:on|from|during|between|days?)\b\W*)?"
    days = rf"(?:{_DAY}|\(?({_NUMBER})-({_NUMBER}))(?![\w-])[)\]]*"
    stay = re.compile(rf"{ahead}{between}{days}(?P<after>\s*(?:[.,;:→-].*|\Z))")
    hop = re.compile(rf"{ahead}\s*(?:→|\bto\b)\s*({name}){between}{_DAY}\W*\Z")
    line = _LENGTH.sub("", line)
    if found := hop.match(line):
        yield _line(found[3], found[4], f"from {found[1]} to {found[2]}")
    while found := stay.match(line):
        yield _line(found[2] or found[4], found[3] or found[5], found[1])
        line = re.sub(r"\A\W*(?:(?:and|then)\b\s*)*", "", found["after"])


def _line(first: str, last: str | None, text: str) -> Line:
    return Line(int(first), int(last or first), text.strip())


def _json(text: str) -> object | None:
    """Returns the list or object that a text is, or that it has in a code fence."""
    body = re.sub(r"```(?:json|python)?", "", text).strip()
    if not body or (body[0], body[-1]) not in {("[", "]"), ("{", "}")}:
        return None
    try:
        return json.loads(body)  # type: ignore[no-any-return]
    except (ValueError, RecursionError):
        try:
            return ast.literal_eval(body)  # type: ignore[no-any-return]
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None


def _json_lines(data: object) -> Iterator[str]:
    if isinstance(data, str):
        yield _tidied(data)
    elif isinstance(data, list | tuple):
        for item in data:
            yield from _json_lines(item)
    elif isinstance(data, dict):
        entry = _json_entry({str(key).lower(): value for key, value in data.items()})
        if entry is not None:
            yield _tidied(entry)
            return
        for key, value in data.items():
            if isinstance(value, list | tuple | dict) and not all(isinstance(item, int) for item in value):
                yield from _json_lines(value)
            else:
                yield _tidied(f"{key}: {_days(value)}")


def _json_entry(item: dict[str, object]) -> str | None:
    """Returns a stay or a flight that an object describes by its keys, None where it does not."""
    city = next((item[key] for key in ("city", "place", "location", "destination", "stop") if key in item), None)
    first, last = (next((item[key] for key in item if re.match(words, key)), None) for words in (_FROM_DAY, _TO_DAY))
    days = next((item[key] for key in item if "day" in key and not re.match(f"{_FROM_DAY}|{_TO_DAY}", key)), None)
    if isinstance(first, int) and isinstance(last, int):
        when = f"Day {first}-{last}"
    elif days is not None and not (isinstance(days, int) and "day" not in item):  # 3 "days" are a length
        when = _days(days)
    else:
        when = _days(next((value for key, value in item.items() if "fly" in key), ""))
    if isinstance(item.get("from"), str) and isinstance(item.get("to"), str):
        return f"{when}: from {item['from']} to {item['to']}"
    return f"{when}: {city}" if isinstance(city, str) and when else None


_FROM_DAY = r"(?:start|first|arriv|begin|from.?day|check.?in)"
_TO_DAY = r"(?:end|last|depart|leav|to.?day|until|check.?out)"


def _days(value: object) -> str:
    if isinstance(value, list | tuple) and value and all(isinstance(item, int) for item in value):
        return f"Day {value[0]}-{value[-1]}"
    text = str(value)
    return f"Day {text}" if re.fullmatch(rf"{_NUMBER}(?:\s*-\s*{_NUMBER})?", text) else text
