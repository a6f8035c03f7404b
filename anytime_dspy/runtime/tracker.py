"""Tracks what a run has spent of its budget."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping

from anytime_dspy.budgets import Budget
from anytime_dspy.checkpoint import Call, Usage
from anytime_dspy.runtime.allowance import Remaining, Throughput
from anytime_dspy.runtime.call_order import CallOrder

__all__ = ["BudgetTracker"]


class BudgetTracker:
    """What was spent under a budget so far; it may be read at any time, from any thread.

    Calls under one budget run one at a time, in the order in which they start, since the allowance of a call is known
    only when the call before it has ended.

    Args:
        budget: The budget; its seconds start now.
        answer_tokens: The most tokens of each answer, on top of it.
        parent: The outer budget, if any: this one never has more than remains there.
        names: Names of the predictors, by their identity.
        ceiling: For the replay of a tape that was recorded under the outer budget, the reasoning tokens that remained
            there. Its calls are paid for, so that the outer budget no longer limits their tokens.
    """

    def __init__(
        self,
        budget: Budget,
        answer_tokens: int,
        *,
        parent: BudgetTracker | None = None,
        names: Mapping[int, str] | None = None,
        ceiling: int | None = None,
    ) -> None:
        self.budget = budget
        self.answer_tokens = answer_tokens
        self.names = names or {}
        self._parent = parent
        self._tokens = min(_or_infinite(budget.tokens), _or_infinite(ceiling))
        self._deadline = time.monotonic() + _or_infinite(budget.seconds)
        self._lock = threading.Lock()
        self._cut = False
        self._exhausted = False
        self._reasoning = 0
        self._usage = self._paid = Usage()
        self._calls: list[Call] = []
        self.order: CallOrder = parent.order if parent else CallOrder()
        self.throughput: Throughput = parent.throughput if parent else Throughput()

    @property
    def reasoning(self) -> int:
        """Reasoning tokens spent."""
        return self._reasoning

    @property
    def remaining(self) -> int | None:
        """Reasoning tokens left; 0 once the budget has cut a call off, even a token short of its end.

        None if the budget is in seconds or dollars only and some are left.
        """
        left = self.left()
        if left.is_over:
            return 0
        return None if left.tokens == math.inf else int(left.tokens)

    @property
    def cut(self) -> bool:
        """Whether a call was truncated, by the budget or by a lower cap of the user's own."""
        return self._cut

    @property
    def exhausted(self) -> bool:
        """Whether the budget truncated a call; nothing remains of it then."""
        return self._exhausted

    @property
    def usage(self) -> Usage:
        """All that was spent: tokens in four columns, calls, seconds, dollars."""
        return self._usage

    @property
    def paid(self) -> Usage:
        """The part of `usage` that was paid for now; the rest came off a tape."""
        return self._paid

    @property
    def calls(self) -> tuple[Call, ...]:
        """The predictor calls, in the order in which they ended."""
        return tuple(self._calls)

    @property
    def forced(self) -> bool:
        """Whether any answer was forced."""
        return any(call.forced for call in self._calls)

    @property
    def answered(self) -> bool:
        """Whether the answer of every call could be read."""
        return all(call.answered for call in self._calls)

    @property
    def censored(self) -> bool:
        """Whether an answer filled its allowance before it was complete, so that it may be a fragment."""
        return any(call.censored for call in self._calls)

    def left(self, *, paid: bool = False) -> Remaining:
        """Returns what remains, in every kind.

        Args:
            paid: True if the next call is replayed: its tokens were already charged to the outer budget, so only
                seconds and dollars still bind.
        """
        own = Remaining(
            tokens=0 if self._exhausted else self._tokens - self._reasoning,
            seconds=self._deadline - time.monotonic(),
            dollars=_or_infinite(self.budget.dollars) - (self._usage.dollars or 0.0),
        )
        if self._parent is None:
            return own
        outer = self._parent.left()
        return own.within(outer._replace(tokens=math.inf) if paid else outer)

    def record(
        self, call: Call, usage: Usage, *, cut: bool, exhausting: bool = False, replayed: Usage | None = None
    ) -> None:
        """Adds a finished call.

        Args:
            call: The call.
            usage: What it cost under this budget, where a replayed call costs what a live one would.
            cut: Whether it was truncated before it was complete.
            exhausting: Whether the budget truncated it.
            replayed: The part of `usage` that was replayed: it was already charged to the outer budget.
        """
        paid = usage if replayed is None else usage - replayed
        with self._lock:
            self._reasoning += call.reasoning_tokens
            self._cut = self._cut or cut
            self._exhausted = self._exhausted or exhausting
            self._usage += usage
            self._paid += paid
            self._calls.append(call)
        if self._parent is None:
            return
        if replayed is None:
            # A call that a smaller inner budget truncates does not exhaust the outer one.
            self._parent.record(call, usage, cut=False)
        else:
            self._parent._add(paid)

    def _add(self, usage: Usage) -> None:
        with self._lock:
            self._reasoning += usage.reasoning_tokens
            self._usage += usage
            self._paid += usage
        if self._parent is not None:
            self._parent._add(usage)


def _or_infinite(amount: float | None) -> float:
    return math.inf if amount is None else amount
