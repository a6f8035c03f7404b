"""Numbers spelt out in English: `eighteen`, `twenty-five`, `one hundred and five`."""

from __future__ import annotations

import re

__all__ = ["with_digits"]

_UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = {word: value for value, word in enumerate(_UNITS)} | {word: 10 * n for n, word in enumerate(_TENS, start=2)}
_LARGE = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_WORD = "|".join(sorted([*_SMALL, *_LARGE, "hundred"], key=len, reverse=True))
_PHRASE = re.compile(rf"\b(?:{_WORD})\b(?:(?:-|\s+|\s+and\s+)(?:{_WORD})\b)*", re.IGNORECASE)
# "one half" is no 1, and no half either: such fractions are not read.
_PART = re.compile(r"[\s-]+(?:and a )?(?:hal(?:f|ves)|thirds?|quarters?|fourths?|fifths?|sixths?|eighths?|tenths?)\b")


def with_digits(text: str) -> str:
    """Writes the numbers that a text without any digit spells out in digits.

    A lone `one` counts only where the text begins with it, since elsewhere it is mostly a pronoun.

    Example:
        >>> with_digits("Twenty-five pens"), with_digits("the other one"), with_digits("two of 12")
        ('25 pens', 'the other one', 'two of 12')
    """
    return text if re.search(r"[\d½¼¾⅓⅔]", text) else _PHRASE.sub(_digits, text)


def _digits(match: re.Match[str]) -> str:
    words = [word for word in re.findall(r"[a-z]+", match[0].lower()) if word != "and"]
    if _PART.match(match.string, match.end()):
        return match[0]
    if words == ["one"] and match.string[: match.start()].strip(" $*({"):
        return match[0]
    value = _value(words)
    return match[0] if value is None else str(value)


def _value(words: list[str]) -> int | None:
    """Adds a phrase up, None where its words make no number, as in `two three`."""
    total, group, last = 0, 0, 1_000
    for word in words:
        if word in _SMALL:
            value = _SMALL[word]
            room = 10 if last in range(20, 100) else last
            if value >= room or (last == 0) or last in range(1, 20):
                return None
            group, last = group + value, value
        elif word == "hundred":
            if not 1 <= group <= 99:
                return None
            group, last = group * 100, 100
        else:
            if not group:
                return None
            total, group, last = total + group * _LARGE[word], 0, 1_000
    return total + group
