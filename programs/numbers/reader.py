"""The one number that a text gives as its answer; docs/tasks.md tells the order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

from anytime_dspy.programs.numbers.forms import Written, canonical, numbers_in
from anytime_dspy.programs.numbers.text import plain
from anytime_dspy.programs.numbers.words import with_digits

__all__ = ["answer_value", "read_number"]


def read_number(text: str) -> str | None:
    r"""Reads the number that a text gives as its answer, without regard to currency, units or percent signs.

    Returns:
        The number in canonical form, None where the text gives none, or gives something that is no single number.

    Example:
        >>> read_number(r"So it is \boxed{57{,}500} dollars for 7 days."), read_number("3 * 4 = 12 pens for 2 friends")
        ('57500', '12')
        >>> read_number("about -7"), read_number("1/3 of it"), read_number("12 * 17"), read_number("at 3:30")
        ('-7', '1/3', None, None)
    """
    value = answer_value(text)
    return None if value is None else canonical(value)


def answer_value(text: str) -> Fraction | None:
    """Returns the number that a text gives as its answer; see `read_number`."""
    text = _first_problem(text.rpartition("</think>")[2])
    text = _uncut(text)
    number = _boxed(text)
    if number is None:
        text = plain(text)
        top = _on_top(text)
        number = next(_stated(text), None) or (top if top and top.value is not None else _concluded(text))
    return number.value if number else None


_NEXT_PROBLEM = re.compile(r"^[ \t]*(?:Question|Problem|Q)[ \t]*\d*[ \t]*:", re.MULTILINE)
# A text that has more boxes or more statements than this does not end in an answer.
_MOST = 20


def _first_problem(text: str) -> str:
    """Cuts a text where its model ran on to pose itself another problem."""
    for match in _NEXT_PROBLEM.finditer(text):
        if re.search(r"\d", text[: match.start()]):
            return text[: match.start()]
    return text


def _uncut(text: str) -> str:
    """Leaves a box away in whose midst a text ends: its number may lack digits."""
    return _CUT_BOX.sub("", text)


# --- The box -----------------------------------------------------------------------------------------------------

_BOX = re.compile(r"(?:\\(?:boxed|fbox)|(?<![A-Za-z\\])boxed(?=\s*\{))\s*(?P<brace>\{)?")


_CUT_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{(?:[^{}\n]|\{[^{}\n]*\})*(?:\d|\{[^{}\n]*)\Z")


def _boxed(text: str) -> Written | None:
    """Returns what is in the last box that is not empty: words in it are no number, and two numbers are not one."""
    for box in list(_BOX.finditer(text))[: -_MOST - 1 : -1]:
        content = plain(_content(text[box.end() :], in_braces=box["brace"] is not None))
        if content.strip(" $"):
            clauses = [clause for clause in _clauses(content) if numbers_in(clause)]
            return _in_clause(clauses[0], last=False) if len(clauses) == 1 else _nothing()
    return None


def _content(rest: str, *, in_braces: bool) -> str:
    """Returns what a box holds, up to the end of its line where it is never closed."""
    if not in_braces:
        return re.split(r"[\s$}]", rest, maxsplit=1)[0]
    depth = 1
    for brace in re.finditer(r"(?<!\\)[{}]", rest):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return rest[: brace.start()]
    return rest.partition("\n")[0]


# --- The answer that is called so --------------------------------------------------------------------------------

_CUE = re.compile(
    r"""
      \banswers?\b[^.\n:=]{0,60}?\s(?:is|are|was|equals|(?:would|should|must)\ be|comes\ to)\b\s*:?
    | \b(?P<heading>(?<!final\ )answer\s*:)
    | \banswer\b[^.\n:=]{0,30}?[:=]
    | \bfinal\ answer\s+[-–—]\s
    | \#{3,}(?!\s*\d+[.)][ \t]+[A-Za-z])
    | <answer>
    """,
    re.IGNORECASE | re.VERBOSE,
)
# What may stand between "the answer is" and a number that follows directly.
_LEAD = re.compile(
    r"""
    [^\w\\.+–-]*
    (?:\([A-Z]\)\s*)?
    (?:(?:about|approximately|roughly|around|exactly|just|only|simply|a|total|of|minus|negative)\s+)*
    (?:[A-Za-z]\s*[=≈]\s*)?
    [^\w\\.]*
    (?=\.?\d|\\)
    """,
    re.IGNORECASE | re.VERBOSE,
)


def _stated(text: str) -> Iterator[Written]:
    """Yields the numbers that are said to be the answer, the last first."""
    for cue in list(_CUE.finditer(text))[: -_MOST - 1 : -1]:
        rest = text[cue.end() :]
        # The number may stand below, in a line of its own.
        line = with_digits(next((line for line in rest.split("\n")[:6] if re.search(r"\w", line)), ""))
        if _LEAD.match(line):
            number = _in_clause(_clauses(line)[0], last=False)
        elif cue["heading"]:  # and prose under it
            number = _concluded(rest)
        else:
            number = _in_sentence(_sentences(line)[0])
        if number:
            yield number


_UNIT_WORDS = 2

# --- Else: a number on top, or the end of the text ---------------------------------------------------------------


def _on_top(text: str) -> Written | None:
    """Returns the number that is all there is before the first of several stops or blank lines."""
    top, blank, rest = text.strip().partition("\n\n")
    if blank and rest.strip() and not re.search(r"[=≈:\n]", top) and len(re.findall(r"[A-Za-z]+", top)) <= _UNIT_WORDS:
        return _in_clause(top, last=False)
    first, *others = _sentences(text.strip())
    return _in_clause(first, last=False) if others and not re.search(r"[A-Za-z=≈]", first) else None


def _concluded(text: str) -> Written | None:
    """Returns the number of the last sentence that has one, circumstances left aside if anything else is there."""
    sentences = [sentence for sentence in _sentences(text) if re.search(r"\d|[^\x00-\x7f]", sentence)]
    for sentence in reversed(sentences):
        if any(_matters(number, sentence) for number in numbers_in(sentence)):
            return _in_sentence(sentence)
    return next(filter(None, map(_in_sentence, reversed(sentences))), None)


# --- Sentences, clauses, equations -------------------------------------------------------------------------------

# What follows tells how the number before came about: "because 9 * 2 is 18", "by selling 9 eggs".
_REASON = re.compile(
    r",?\s(?:since|because|given that|(?:after|before|by|from|when|while)\s\w+ing)\b|,\s(?:as|where|while)\b"
)
_REMARK = re.compile(r"\s\((?=[^()]*[A-Za-z=])[^()]*\)")
_CIRCUMSTANCE = re.compile(
    r"""
    (?:
      \b(?:
        for|per|at|after|from|over|among|within|during|every|than
      | (?<!left\ )(?<!up\ )with | (?<!result\ )(?<!results\ )in
      )
      \s+(?:(?:a|the|all|about|another|these|those|next|last|first|its|his|her|their|only|just)\s+)*
    | \d\s+[A-Za-z]+\s+of\s+  # "3 boxes of 12 pens"
    | [<>≤≥]\s*
    )
    $
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SHARE = re.compile(r"\s*(?:%|percent)\s+of\b")
# "She sells 9 eggs for $18", against "for $2 each".
_PAID = re.compile(r"[$€£¥₹]")
_EACH = re.compile(r"\s*(?:each|apiece|per|an?|every)\b", re.IGNORECASE)
_EQUALS = re.compile(r"(?<![<>!:])(?:=+|≈)")
_UNIT = r"(?:[A-Za-z%°€£¥₹$²³./^'-]+[\s)}\]]+){0,4}?"
_OPERATOR = r"(?:[-+*/÷±]|plus\b|minus\b|times\b|(?:divided|multiplied)\sby\b)"
_BETWEEN_OPERANDS = re.compile(rf"[\s)}}\]]*{_UNIT}{_OPERATOR}[\s($€£¥₹{{\[]*")
_BEFORE_OPERAND = re.compile(r"[\w)}\]]\s*[-+*/÷±][\s($€£¥₹{\[]*$")
_AFTER_OPERAND = re.compile(r"[\s)}\]]*[+*÷±]\s*[\w(\\$]")
_BETWEEN_EQUALS = re.compile(r"\s*(?:[A-Za-z]+\s+)?(?:and|or)\s+[$€£¥₹]?|\s*[;,]\s*[$€£¥₹]?")
_UNKNOWN = re.compile(r"(?<![A-Za-z\\])[xyznXYZN](?![A-Za-z])")
# What may stand before the result in "So 204 = 12 * 17".
_OPENING = re.compile(r"(?:[^\w]|\b(?:so|thus|hence|therefore|then|and|total)\b)*", re.IGNORECASE)


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+|\n", text)


def _clauses(sentence: str) -> list[str]:
    """Parts a sentence at its commas, and leaves away what only explains a number before it."""
    for remark in reversed(list(_REMARK.finditer(sentence))):
        if numbers_in(sentence[: remark.start()]):
            sentence = sentence[: remark.start()] + sentence[remark.end() :]
    for reason in _REASON.finditer(sentence):
        if numbers_in(sentence[: reason.start()]):
            sentence = sentence[: reason.start()]
            break
    return re.split(r"[,;]\s+|\n", sentence)


def _matters(number: Written, text: str) -> bool:
    """Whether a number may be what its sentence is about: "for 7 days" and "the 3rd" are circumstances."""
    before = text[max(0, number.start - 40) : number.start]
    if _SHARE.match(text, number.end):
        return False
    if number.ordinal or not _CIRCUMSTANCE.search(before):
        return not number.ordinal
    return (
        before.endswith(("for ", "in ")) and bool(_PAID.match(text, number.start)) and not _EACH.match(text, number.end)
    )


def _in_sentence(sentence: str) -> Written | None:
    """Returns the number of a sentence's last clause that has one that matters."""
    clauses = [clause for clause in _clauses(sentence) if numbers_in(clause)]
    for clause in reversed(clauses):
        if any(_matters(number, clause) for number in numbers_in(clause)):
            return _in_clause(clause, last=True)
    return _in_clause(clauses[-1], last=True) if clauses else None


def _in_clause(clause: str, *, last: bool) -> Written | None:
    """Returns the number that a clause gives: the result of its equation, or the last or first that matters."""
    first_side, *later = _EQUALS.split(clause)
    sides = [first_side, *(f"={side}" for side in later)]
    if any(numbers_in(side) for side in sides[1:]):
        return _result(sides)
    clause = sides[0]
    numbers = numbers_in(clause)
    if not numbers:
        return None
    candidates = [number for number in numbers if _matters(number, clause)] or numbers
    chosen = candidates[-1 if last else 0]
    index = numbers.index(chosen)
    neighbours = numbers[max(0, index - 1) : index + 2]
    gaps = [clause[left.end : right.start] for left, right in pairwise(neighbours)]
    if _is_operand(clause, chosen) or any(map(_BETWEEN_OPERANDS.fullmatch, gaps)):
        return _nothing()
    return _nothing() if any(map(_BETWEEN_EQUALS.fullmatch, gaps)) else chosen


def _result(sides: list[str]) -> Written:
    """Returns the last side of an equation that is one number; the first may only be if nothing else is there."""
    for index in reversed(range(len(sides))):
        side, numbers = sides[index], numbers_in(sides[index])
        if not numbers:
            continue
        if index == 0:
            single = len(numbers) == 1 and _OPENING.fullmatch(side[: numbers[0].start]) is not None
        else:
            gap = side[numbers[0].end : numbers[1].start] if len(numbers) > 1 else ""
            single = not _BETWEEN_OPERANDS.fullmatch(gap) and not _is_unsolved(sides[index - 1])
        if single and not _is_operand(side, numbers[0]):
            return numbers[0]
    return _nothing()


def _is_unsolved(side: str) -> bool:
    """Whether what stands before an equals sign still has an unknown in a calculation, as in `15x + 3 = 48`."""
    return bool(re.search(r"\d", side) and _UNKNOWN.search(side))


def _is_operand(text: str, number: Written) -> bool:
    return bool(
        _BEFORE_OPERAND.search(text[max(0, number.start - 10) : number.start]) or _AFTER_OPERAND.match(text, number.end)
    )


def _nothing() -> Written:
    """Returns what stands for an answer that is no single number."""
    return Written(0, 0, None)
