"""How many tokens what is left of a budget comes to: pure functions, and the measured speed that they need."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["ASSUMED_SPEED", "SEGMENT", "Allowance", "Remaining", "Throughput", "Price", "CallCosts", "allowance"]

ASSUMED_SPEED = 50.0
"""Tokens a second that an LM is taken to write before its first call has been measured."""

SEGMENT = 16
"""The fewest tokens that are asked for at a time where a message is written piece by piece under a deadline."""


class Remaining(NamedTuple):
    """What is left of a budget, in each kind; without end where it does not count that kind."""

    tokens: float = math.inf
    seconds: float = math.inf
    dollars: float = math.inf

    @property
    def is_over(self) -> bool:
        """Whether one of the kinds has run out."""
        return min(self) <= 0

    def within(self, outer: Remaining) -> Remaining:
        """Returns the lesser of both, kind by kind."""
        return Remaining(*map(min, self, outer))


@dataclass(frozen=True)
class Allowance:
    """What one call may use.

    Attributes:
        reasoning: Reasoning tokens left in the budget.
        answer: Tokens allowed for the answer on top of it.
    """

    reasoning: int
    answer: int

    @property
    def cap(self) -> int:
        """The most tokens that the call may write."""
        return self.reasoning + self.answer


class Price(NamedTuple):
    """What an LM costs, in dollars a token."""

    prompt: float
    output: float

    def of(self, prompt_tokens: int, output_tokens: int) -> float:
        """Returns what one call costs.

        >>> Price(prompt=0.5, output=2.0).of(4, 1)
        4.0
        """
        return self.prompt * prompt_tokens + self.output * output_tokens


class Throughput:
    """How fast each LM writes: the tokens of its measured calls over their wall time, waiting and reading included."""

    def __init__(self) -> None:
        self._tokens: dict[str, int] = {}
        self._seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    def add(self, model: str, tokens: int, seconds: float) -> None:
        """Adds a call that was really made."""
        with self._lock:
            self._tokens[model] = self._tokens.get(model, 0) + tokens
            self._seconds[model] = self._seconds.get(model, 0.0) + seconds

    def of(self, model: str) -> float | None:
        """Returns tokens a second, None before anything was measured."""
        seconds = self._seconds.get(model, 0.0)
        return self._tokens[model] / seconds if seconds > 0 else None


@dataclass(frozen=True)
class CallCosts:
    """What a call on one LM takes of each kind of budget.

    Attributes:
        speed: Tokens a second, as measured; None before the first call.
        price: Dollars a token; None where no budget counts dollars.
        prompt_tokens: Tokens of the call's prompt; counted only where there is a price.
        answer_prompt_tokens: Those of the prompt that would ask for its answer alone, the reasoning left out.
        in_segments: Whether a message is written piece by piece, so that it can be stopped at a deadline.
    """

    speed: float | None = None
    price: Price | None = None
    prompt_tokens: int = 0
    answer_prompt_tokens: int = 0
    in_segments: bool = False


def allowance(left: Remaining, answer: int, costs: CallCosts, begun: Allowance | None = None) -> Allowance:
    """Returns what a call may write with what is left of its budget.

    Args:
        left: What is left. Its tokens include those of `begun`, the other kinds are what is left after it.
        answer: Tokens allowed for the answer on top of the reasoning.
        costs: What the call takes of each kind.
        begun: What the message was allowed so far, where it is one that goes on.

    >>> allowance(Remaining(tokens=256), 64, CallCosts())
    Allowance(reasoning=256, answer=64)
    >>> allowance(Remaining(tokens=256, seconds=2.0), 64, CallCosts(speed=30.0))
    Allowance(reasoning=60, answer=64)
    >>> allowance(Remaining(seconds=2.0), 64, CallCosts(speed=30.0, in_segments=True), Allowance(16, 0))
    Allowance(reasoning=46, answer=0)
    """
    if left.is_over:
        return begun or Allowance(0, answer)
    base, cap = (begun.reasoning, begun.cap) if begun else (0, 0)
    limit = min(left.tokens, base + _bought(left.dollars, answer, costs, base))
    if left.seconds == math.inf:
        return Allowance(int(limit), answer)
    if not costs.in_segments:
        return Allowance(int(min(limit, base + (costs.speed or ASSUMED_SPEED) * left.seconds)), answer)
    total = int(min(limit + answer, cap + _segment(left.seconds, costs.speed)))
    reasoning = int(min(limit, total))
    return Allowance(reasoning, total - reasoning)


def _segment(seconds: float, speed: float | None) -> float:
    """The tokens of the next piece: half the time that is left, so that a wrong speed is noticed before it is up."""
    if speed is None:
        return SEGMENT
    return max(SEGMENT, speed * seconds / 2) if speed * seconds >= 1 else 0


def _bought(dollars: float, answer: int, costs: CallCosts, base: int) -> float:
    """The reasoning that can be paid for together with an answer in the message and one asked for after it."""
    if costs.price is None:
        return math.inf
    inside = costs.price.of(costs.prompt_tokens + base, answer)
    after = costs.price.of(costs.answer_prompt_tokens + base, answer)
    # A token of reasoning is written once and, where the answer has to be forced, read once.
    return max(0.0, (dollars - inside - after) / (costs.price.output + costs.price.prompt))
