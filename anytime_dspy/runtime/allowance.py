"""Converts what remains of a budget (tokens, seconds, dollars) into the token cap of the next call.

Pure functions, and the measured speed that they need. Unlimited amounts are `math.inf`.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["ASSUMED_SPEED", "SEGMENT", "Allowance", "CallCosts", "Price", "Remaining", "Throughput", "allowance"]

ASSUMED_SPEED = 50.0
"""The speed of an LM, in tokens per second, before its first call was measured."""

SEGMENT = 16
"""The fewest tokens of a call where a message is generated in pieces under a deadline."""


class Remaining(NamedTuple):
    """What remains of a budget, in each kind."""

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
    """The token allowance of one message.

    Attributes:
        reasoning: Reasoning tokens that remain in the budget.
        answer: Tokens of the answer on top of it.
    """

    reasoning: int
    answer: int

    @property
    def cap(self) -> int:
        """The most tokens of the message."""
        return self.reasoning + self.answer


class Price(NamedTuple):
    """The price of an LM, in dollars per token."""

    prompt: float
    output: float

    def of(self, prompt_tokens: int, output_tokens: int) -> float:
        """Returns the price of one call.

        >>> Price(prompt=0.5, output=2.0).of(4, 1)
        4.0
        """
        return self.prompt * prompt_tokens + self.output * output_tokens


class Throughput:
    """The measured speed of each LM: output tokens over the wall time of its calls, queueing and prompt included."""

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
        """Returns tokens per second, None before the first call."""
        seconds = self._seconds.get(model, 0.0)
        return self._tokens[model] / seconds if seconds > 0 else None


@dataclass(frozen=True)
class CallCosts:
    """What a call on one LM costs of each kind of budget.

    Attributes:
        speed: Measured tokens per second; None before the first call.
        price: Dollars per token; None if no budget is in dollars.
        prompt_tokens: Tokens of the call's prompt; counted only if there is a price.
        answer_prompt_tokens: Tokens of the prompt of a forced answer, without the reasoning.
        in_segments: Whether the message is generated in pieces, so that it can be stopped at a deadline.
    """

    speed: float | None = None
    price: Price | None = None
    prompt_tokens: int = 0
    answer_prompt_tokens: int = 0
    in_segments: bool = False


def allowance(left: Remaining, answer: int, costs: CallCosts, begun: Allowance | None = None) -> Allowance:
    """Returns the allowance of a message under what remains of the budget.

    Args:
        left: What remains. Its tokens include those of `begun`; its seconds and dollars are what is left after it.
        answer: Tokens of the answer on top of the reasoning.
        costs: The costs of the call.
        begun: The allowance of the message so far, if it is continued.

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
    limit = min(left.tokens, base + _affordable(left.dollars, answer, costs, base))
    if left.seconds == math.inf:
        return Allowance(int(limit), answer)
    if not costs.in_segments:
        return Allowance(int(min(limit, base + (costs.speed or ASSUMED_SPEED) * left.seconds)), answer)
    total = int(min(limit + answer, cap + _segment(left.seconds, costs.speed)))
    reasoning = int(min(limit, total))
    return Allowance(reasoning, total - reasoning)


def _segment(seconds: float, speed: float | None) -> float:
    """Returns the tokens of the next piece: for half the time that remains, in case the speed is wrong."""
    if speed is None:
        return SEGMENT
    return max(SEGMENT, speed * seconds / 2) if speed * seconds >= 1 else 0


def _affordable(dollars: float, answer: int, costs: CallCosts, base: int) -> float:
    """Returns the reasoning tokens that can be paid for together with an answer in the message and a forced one."""
    if costs.price is None:
        return math.inf
    inside = costs.price.of(costs.prompt_tokens + base, answer)
    after = costs.price.of(costs.answer_prompt_tokens + base, answer)
    # A token of reasoning is output once and, where the answer is forced, part of a prompt once.
    return max(0.0, (dollars - inside - after) / (costs.price.output + costs.price.prompt))
