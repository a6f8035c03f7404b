"""Reads from a provider's error which of the options that were sent it rejects.

Providers say so in their own words, with status 400 or 422. Only options that the call really sent are looked for;
every other error is left as it is. `tests/test_refusals.py` is a table of real messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import dspy

__all__ = ["Refusal", "SentOptions", "OptionName", "refusal_in"]

OptionName = Literal["temperature", "stop", "cap", "prefill"]

HIGHEST_FLOOR = 64
"""The highest minimum to which a cap is raised; more would be a surprise on the bill."""

USUAL_FLOOR = 16
"""The minimum where a provider names none: that of OpenAI's Responses API."""


@dataclass(frozen=True)
class SentOptions:
    """The options of a call that a model may reject.

    Attributes:
        temperature: None if none was sent.
        stop: The stop strings.
        cap: The most tokens of the reply.
        prefills: Whether the last message is an assistant message to be continued.
    """

    temperature: float | None = None
    stop: tuple[str, ...] = ()
    cap: int | None = None
    prefills: bool = False


@dataclass(frozen=True)
class Refusal:
    """An option that a model rejects.

    Attributes:
        option: The option.
        least_cap: The lowest cap that it accepts, where it rejects a lower one.
    """

    option: OptionName
    least_cap: int = 0


def refusal_in(error: Exception, sent: SentOptions) -> Refusal | None:
    """Returns the option that an error rejects, None if it rejects none of those sent."""
    if isinstance(error, (dspy.ContextWindowExceededError, dspy.LMUnsupportedModelError)):
        return None
    is_bad_request = isinstance(error, dspy.LMProviderError) and error.status in (400, 422)
    if not is_bad_request and not isinstance(error, (dspy.LMInvalidRequestError, dspy.LMUnsupportedFeatureError)):
        return None
    # Errors often quote other errors, with escaped quotation marks.
    text = str(getattr(error, "message", "") or "").replace("\\", "").casefold()
    return next(_refusals(text, sent), None)


def _refusals(text: str, sent: SentOptions) -> Iterator[Refusal]:
    if sent.temperature is not None and _TEMPERATURE.search(text):
        yield Refusal("temperature")
    if sent.stop and _STOP.search(text):
        yield Refusal("stop")
    floor = _floor(text)
    if sent.cap is not None and sent.cap < floor <= HIGHEST_FLOOR:
        yield Refusal("cap", floor)
    # DSPy's own engine drops the text of some servers' errors. Such an error may be taken for a rejection: the
    # answer is then asked for in the other way, and an error of that call is raised.
    if sent.prefills and (_PREFILL.search(text) or _WORDLESS.fullmatch(text)):
        yield Refusal("prefill")


def _floor(text: str) -> int:
    """Returns the minimum cap that a text names, 0 if it names none."""
    named = _CAP.search(text)
    if named is None:
        return 0
    said = text[max(0, named.start() - 60) :]
    number = _AT_LEAST.match(said)
    if number is not None:
        return int(number[1] or int(number[2]) + 1)
    return USUAL_FLOOR if _BELOW.match(said) else 0


_NO = (
    r"(?:unsupported|not supported|n't support|not support|deprecated|not permitted|not allowed|forbidden|unknown|"
    r"unrecogni[sz]ed|unexpected|extraneous|invalid|cannot|may only|can only|only|must|has to)"
)
_NEAR = r"(?:[^.]|\.\d){0,80}?"
_MARK = r"[`'\"\[(\]]"


def _refused(name: str, *more: str) -> re.Pattern[str]:
    """Matches the rejection of an option: its quoted name near a word of refusal, or a phrase about options."""
    marked = rf"{_MARK}{name}{_MARK}"
    phrases = (
        rf"{_NO}{_NEAR}{marked}",
        rf"{marked}{_NEAR}{_NO}",
        rf"(?:support(?:ed)?|unrecogni[sz]ed|unknown|unexpected)\b[\w ]{{0,50}}[: ]{{1,2}}{name}\b",
        rf"\b{name}(?:=[\d.]+)? (?:is|are) (?:not |un|deprecated)",
        *more,
    )
    return re.compile("|".join(phrases))


_TEMPERATURE = _refused(
    "temperature",
    r"invalid temperature\b",
    r"\btemperature (?:and \W?top_p\W? )?(?:may only|can only|must be|has to be|cannot)\b",
    r"\btemperature: range",
    r"\btemperature参数非法",
)
_STOP = _refused(r"stop(?:_?sequences?)?")
_CAP = re.compile(r"max_?(?:output_?|completion_?|new_?)?tokens")
_BELOW = re.compile(r".{0,120}below (?:the )?minimum")
_AT_LEAST = re.compile(
    r".{0,200}?(?:(?:>= ?|at least |or equal to |minimum (?:value )?(?:of |is ))(\d+)|(?:greater|more) than (\d+))"
)
_PREFILL = re.compile(
    r"pre-?fill|continue_final_message|add_generation_prompt|assistant messages at the end"
    r"|\b(?:last|final)\b.{0,60}\b(?:assistant|user)\b|\bends? with an? \W?user\b"
)
_WORDLESS = re.compile(
    r"(?:litellm\.\w+: \w+ - )?(?:http 4\d\d|error code: 4\d\d|provider returned error)?(?: \(4\d\d\))?\s*"
)
