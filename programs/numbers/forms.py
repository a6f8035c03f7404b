"""The numbers that stand in a text, exactly, in whatever way they are written."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

from anytime_dspy.programs.numbers.text import NARROW_SPACE

__all__ = ["Written", "canonical", "numbers_in"]

# Longer runs of digits are noise, and beyond 4,300 Python does not read them at all.
MOST_DIGITS = 300
MOST_DECIMALS = 200
# How far to look around a number for what belongs to it.
_NEAR = 24


@dataclass(frozen=True)
class Written:
    """Something written with digits in a text.

    Attributes:
        start: Where it begins, its sign and currency included.
        end: Where it ends.
        value: The number, None for what is none: a root, a time, a date, a range, a product of a number and a letter.
        ordinal: It is written as `7th`.
    """

    start: int
    end: int
    value: Fraction | None
    ordinal: bool = False


def canonical(value: Fraction) -> str:
    """Writes a number in the one form that stands for it: `18`, `-0.5`, and `1/3` where no decimal is exact.

    Example:
        >>> canonical(Fraction(1, 2)), canonical(Fraction(57_500)), canonical(Fraction(-1, 3))
        ('0.5', '57500', '-1/3')
    """
    rest, decimals = value.denominator, 0
    for prime in (2, 5):
        count = 0
        while rest % prime == 0:
            rest, count = rest // prime, count + 1
        decimals = max(decimals, count)
    if rest != 1 or decimals > MOST_DECIMALS:
        return f"{value.numerator}/{value.denominator}"
    digits = str(abs(value.numerator) * 10**decimals // value.denominator).rjust(decimals + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}" if decimals else f"{sign}{digits}"


_VULGAR = "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"
_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_PLAIN_DIGITS = str.maketrans(f"{_RAISED}⁻⁺", "0123456789-+")
_RUN = rf"(?:[1-9]\d{{0,2}}(?:[ ]\d{{3}})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,'’{NARROW_SPACE}]\d+)*|(?<!\d)\.\d+)"
_POWER = (
    r"(?:\^\s*(?:\{\s*(?P<braced>[-+]?\d{1,2})\s*\}|(?P<bare>[-+]?\d{1,2})(?!\d))"
    rf"|(?P<raised>[⁻⁺]?[{_RAISED}]{{1,2}}))"
)
_SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_FORM = re.compile(
    rf"""
      (?P<none>
        (?:\\sqrt|√)\s*(?:\[[^\]]*\])?\s*(?:\{{[^{{}}]*\}}|\(?\d[\d.]*\)?)
      | \\[dtc]?frac\s*\{{[^{{}}]*(?:\}}\s*(?:\{{[^{{}}]*\}}?)?)?            # of what is no number, or cut short
      | \d{{1,4}}([/-])\d{{1,2}}\2\d{{1,4}}(?!\d)                           # a date
      | \d+(?::\d+)+                                                        # a time, a ratio
      | ±\s?\d[\d.,]*
      )
    | (?P<currency>[$€£¥₹]\s?)?(?:
        10\s?{_POWER}
      | (?P<whole>\d+)(?:[ ]|[ ]and[ ])(?P<part>\d+)\s?/\s?(?P<parts>\d+)(?![\d/])
      | (?P<over>{_RUN})\s?/\s?(?P<under>{_RUN})(?![\d/])
      | (?P<wholes>\d+)?[ ]?(?P<vulgar>[{_VULGAR}])
      | (?P<run>{_RUN})
        (?:[eE](?P<exponent>[-+]?\d{{1,2}})(?!\w)|\s?\*\s?10\s?{_POWER.replace("(?P<", "(?P<ten_")})?
      )
      (?P<none_after>
        \s*(?:\\(?:sqrt|pi|frac)(?![A-Za-z])|[π√]|!(?!=))\S*
      | \s*\^\s*(?:\{{[^{{}}]*\}}|[-+]?\w+) | \*\*\d+ | [{_RAISED}]+        # a power that nobody has worked out
      | [eE][-+]?\d+                                                        # a power beyond all use
      | [xyzn](?![A-Za-z])                                                  # so many times a letter
      )?
      (?P<scale>(?:\s(?:hundred|thousand|million|billion|trillion)\b){{1,2}}|[kK]\b)?
      (?P<ordinal>(?:st|nd|rd|th)\b)?
    """,
    re.ASCII | re.VERBOSE,
)
_BEFORE_IN_A_NAME = re.compile(
    r"[A-Za-z](?:[_^]\{?)?$|[_^]\s*\{?$|\b(?:[Ss]tep|[Pp]roblem|[Qq]uestion|[Cc]ase|[Pp]art|[Ee]xample|[Ee]quation)\s$"
)
_SIGN = re.compile(r"(?:(?P<tight>[-–])|(?P<loose>-\s)|(?P<word>\b(?:minus|negative)\s))$", re.IGNORECASE)
_RANGE = re.compile(r"[-–]|\s–\s|\sto\s[$€£¥₹]?")


def numbers_in(text: str) -> list[Written]:
    """Returns the numbers of a text that `numbers.text.plain` has rewritten, in order.

    Digits inside a name (`CO2`, `m^2`, `x_1`) and the numbers of steps are left out.
    """
    found: list[Written] = []
    for match in _FORM.finditer(text):
        start = match.start()
        before = text[max(0, start - _NEAR) : start]
        if _BEFORE_IN_A_NAME.search(before) and not match["currency"]:
            continue
        value = None if match["none"] else _value(match, text)
        sign = _sign(before, text[found[-1].end : start] if found else None)
        found.append(
            Written(start - len(sign), match.end(), -value if sign and value else value, bool(match["ordinal"]))
        )
    return _joined(found, text)


def _joined(found: list[Written], text: str) -> list[Written]:
    """Makes one of the two ends of a range."""
    joined: list[Written] = []
    for number in found:
        gap = text[joined[-1].end : number.start] if joined else ""
        if _RANGE.fullmatch(gap) or (gap == " and " and text.endswith("between ", 0, joined[-1].start)):
            joined[-1] = Written(joined[-1].start, number.end, None)
        else:
            joined.append(number)
    return joined


def _sign(before: str, gap: str | None) -> str:
    """Returns the minus that ends a text, with what stands between it and the number.

    Args:
        before: What stands before the number.
        gap: What of it follows the last number; a minus in it may be an operator.
    """
    match = _SIGN.search(before)
    if match is None:
        return ""
    if gap is not None and (not gap.strip(" -–") or (match["word"] and not re.search(r"[\n=≈.,;:]", gap))):
        return ""
    ahead = before[: len(before) - len(match[0])]
    if match["loose"]:  # else a dash, or the mark of a list
        return match[0] if ahead.rstrip()[-1:] in {"=", "≈", "(", "{"} else ""
    if match["word"]:
        return match[0]
    return "" if re.search(r"[\w.)}\]%]$", ahead) else match[0]


def _value(match: re.Match[str], text: str) -> Fraction | None:
    if match["none_after"]:
        return None
    value = _unscaled(match, text)
    if value is None or not match["scale"]:
        return value
    if match["scale"] in {"k", "K"}:  # a race of 5k is no number of thousands
        return value * 1000 if match["currency"] else None
    for word in match["scale"].split():
        value *= _SCALES[word]
    return value


def _unscaled(match: re.Match[str], text: str) -> Fraction | None:
    power = match["braced"] or match["bare"] or match["raised"]
    if power is not None:
        return Fraction(10) ** int(power.translate(_PLAIN_DIGITS))
    if match["part"] is not None:
        return _mixed(match["whole"], _ratio(match["part"], match["parts"]))
    if match["over"] is not None:
        return _ratio(match["over"], match["under"])
    if match["vulgar"] is not None:
        part = Fraction(unicodedata.numeric(match["vulgar"])).limit_denominator(10)
        return _mixed(match["wholes"] or "0", part)
    value = _decimal(match["run"], in_brackets=_in_brackets(match, text))
    ten = match["exponent"] or match["ten_braced"] or match["ten_bare"] or match["ten_raised"]
    if value is None or ten is None:
        return value
    return value * Fraction(10) ** int(ten.translate(_PLAIN_DIGITS))


def _ratio(over: str, under: str) -> Fraction | None:
    top, bottom = _decimal(over), _decimal(under)
    return top / bottom if top is not None and bottom else None


def _mixed(whole: str, part: Fraction | None) -> Fraction | None:
    value = _decimal(whole)
    return value + part if value is not None and part is not None and part < 1 else None


_GROUPED = re.compile(rf"[1-9]\d{{0,2}}([,'’ {NARROW_SPACE}])\d{{3}}(?:\1\d{{3}})*(?:\.\d+)?")
_INDIAN = re.compile(r"[1-9]\d?(?:,\d{2})+,\d{3}(?:\.\d+)?")
_POINTS = re.compile(r"[1-9]\d{0,2}(?:(?:\.\d{3}){2,}(?:,\d+)?|\.\d{3},\d+)")
_SPACED = re.compile(rf"[1-9]\d{{0,2}}(?:[ {NARROW_SPACE}]\d{{3}})+,\d+")
_COMMA = re.compile(r"\d+,\d{1,2}|0,\d+|\d{4,},\d+")


def _decimal(run: str, *, in_brackets: bool = False) -> Fraction | None:
    """Reads digits with points, commas and spaces; None where countries would read them differently.

    A comma before three digits is for thousands, as a comma before one or two is for decimals: but in brackets it
    parts two numbers.
    """
    if len(run) > MOST_DIGITS:
        return None
    if re.fullmatch(r"\d*\.?\d+", run):
        return Fraction(run)
    if _GROUPED.fullmatch(run) or _INDIAN.fullmatch(run):
        return Fraction(re.sub(r"[^\d.]", "", run))
    if _POINTS.fullmatch(run) or _SPACED.fullmatch(run) or (_COMMA.fullmatch(run) and not in_brackets):
        return Fraction(re.sub(r"[^\d,]", "", run).replace(",", "."))
    return None


def _in_brackets(match: re.Match[str], text: str) -> bool:
    before, after = text[max(0, match.start() - _NEAR) : match.start()], text[match.end() : match.end() + _NEAR]
    return before.rstrip()[-1:] in {"(", "[", "{"} and after.lstrip()[:1] in {")", "]", "}"}
