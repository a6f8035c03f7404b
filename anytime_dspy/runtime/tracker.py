"""What a run has spent of its budget."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from dataclasses import replace

from anytime_dspy.budgets import Budget
from anytime_dspy.checkpoint import Call, Usage
from anytime_dspy.runtime.allowance import Left, Pace
from anytime_dspy.runtime.call_order import Turns

__all__ = ["Spending"]


class Spending:
    """What was spent under one budget so far; it may be read at any time, from any thread.

    Calls that share a budget take turns in the order in which they start, since what one may use is known only when the
    one before it has ended.

    Args:
        budget: The cap on reasoning; its seconds begin now.
        answer_tokens: Tokens allowed for each answer on top of it.
        parent: The budget around this one, if any: this one never has more than is left there.
        names: Names of the predictors, by their identity.
        ceiling: Reasoning tokens that were left of the budget around this one, where a tape that was recorded under it
            is replayed: its calls are paid for, and the parent limits their tokens no more.
    """

    def __init__(
        self,
        budget: Budget,
        answer_tokens: int,
        *,
        parent: Spending | None = None,
        names: Mapping[int, str] | None = None,
        ceiling: int | None = None,
    ) -> None:
        self.budget = budget
        self.answer_tokens = answer_tokens
        self.names = names or {}
        self._parent = parent
        self._tokens = min((math.inf if tokens is None else tokens) for tokens in (budget.tokens, ceiling))
        self._deadline = math.inf if budget.seconds is None else time.monotonic() + budget.seconds
        self._lock = threading.Lock()
        self._cut = False
        self._exhausted = False
        self._reasoning = 0
        self._usage = Usage()
        self._paid = Usage()
        self._calls: list[Call] = []
        self.turns: Turns = parent.turns if parent else Turns()
        self.pace: Pace = parent.pace if parent else Pace()

    @property
    def reasoning(self) -> int:
        """Reasoning tokens spent."""
        return self._reasoning

    @property
    def remaining(self) -> int | None:
        """Reasoning tokens left; 0 once a call was cut off, even if the cut fell a token short of the budget.

        None where only seconds or dollars are counted and some of them are left.
        """
        left = self.left()
        if left.is_over:
            return 0
        return None if left.tokens == math.inf else int(left.tokens)

    @property
    def cut(self) -> bool:
        """Whether a call was cut off, by the budget or by a lower cap of the user's own."""
        return self._cut

    @property
    def exhausted(self) -> bool:
        """Whether the budget cut a call off; nothing is left of it then."""
        return self._exhausted

    @property
    def usage(self) -> Usage:
        """All that was spent: tokens in their four columns, calls, seconds, dollars."""
        return self._usage

    @property
    def paid(self) -> Usage:
        """The part of `usage` that was paid for now; the rest came off a tape."""
        return self._paid

    @property
    def calls(self) -> tuple[Call, ...]:
        """The predictors' calls, in the order of their ends."""
        return tuple(self._calls)

    @property
    def forced(self) -> bool:
        """Whether any answer had to be asked for."""
        return any(call.forced for call in self._calls)

    @property
    def answered(self) -> bool:
        """Whether every call gave an answer that could be read."""
        return all(call.answered for call in self._calls)

    @property
    def censored(self) -> bool:
        """Whether an answer filled its allowance before it was complete, and may be a fragment."""
        return any(call.censored for call in self._calls)

    def left(self, *, paid: bool = False) -> Left:
        """Returns what is left, in every kind.

        Args:
            paid: Whether the next call is on a tape already: the budget around this one has paid for its tokens, and
                limits them no more.
        """
        own = Left(
            tokens=0 if self._exhausted else self._tokens - self._reasoning,
            seconds=self._deadline - time.monotonic(),
            dollars=math.inf if self.budget.dollars is None else self.budget.dollars - (self._usage.dollars or 0.0),
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
            call: What the predictor did.
            usage: What it cost here, as a live run would have paid it.
            cut: Whether it was cut off before it was complete.
            exhausting: Whether it was the budget that cut it off.
            replayed: The part of `usage` that came off a tape: the budget around this one paid for it before.
        """
        paid = usage if replayed is None else _less(usage, replayed)
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
            # Being cut by a smaller budget inside does not use up the larger one outside.
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


def _less(usage: Usage, part: Usage) -> Usage:
    dollars = None if usage.dollars is None else usage.dollars - (part.dollars or 0.0)
    return replace(
        usage,
        prompt_tokens=usage.prompt_tokens - part.prompt_tokens,
        reasoning_tokens=usage.reasoning_tokens - part.reasoning_tokens,
        answer_tokens=usage.answer_tokens - part.answer_tokens,
        hidden_tokens=usage.hidden_tokens - part.hidden_tokens,
        calls=usage.calls - part.calls,
        seconds=usage.seconds - part.seconds,
        dollars=dollars,
    )
