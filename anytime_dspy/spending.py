"""What a run has spent of its budget."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace

from anytime_dspy.checkpoint import Call, Usage
from anytime_dspy.settle import Allowance
from anytime_dspy.turns import Turns

__all__ = ["Spending"]


class Spending:
    """What was spent under one budget so far; it may be read at any time, from any thread.

    Calls that share a budget take turns in the order in which they start, since what one may use is known only when the
    one before it has ended.

    Args:
        tokens: The cap on reasoning tokens.
        answer_tokens: Tokens allowed for each answer on top of it.
        parent: The budget around this one, if any: this one never has more than is left there.
        names: Names of the predictors, by their identity.
    """

    def __init__(
        self,
        tokens: int,
        answer_tokens: int,
        *,
        parent: Spending | None = None,
        names: Mapping[int, str] | None = None,
    ) -> None:
        self.tokens = tokens
        self.answer_tokens = answer_tokens
        self.names = names or {}
        self._parent = parent
        self._lock = threading.Lock()
        self._cut = False
        self._reasoning = 0
        self._usage = Usage()
        self._calls: list[Call] = []
        self.turns: Turns = parent.turns if parent else Turns()

    @property
    def reasoning(self) -> int:
        """Reasoning tokens spent."""
        return self._reasoning

    @property
    def remaining(self) -> int:
        """Reasoning tokens left; 0 once a call was cut off, even if the cut fell a token short of the budget."""
        return self._own if self._parent is None else min(self._own, self._parent.remaining)

    @property
    def cut(self) -> bool:
        """Whether a call was cut off; nothing is left of the budget then."""
        return self._cut

    @property
    def usage(self) -> Usage:
        """All that was spent: tokens in their four columns, calls, seconds, dollars."""
        return self._usage

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

    def allowance(self, *, paid: bool = False) -> Allowance:
        """Returns what the next call may use.

        Args:
            paid: Whether it is on a tape already: the budget around this one has paid for it, and limits it no more.
        """
        return Allowance(self._own if paid else self.remaining, self.answer_tokens)

    @property
    def _own(self) -> int:
        return 0 if self._cut else self.tokens - self._reasoning

    def record(self, call: Call, usage: Usage, *, cut: bool, replayed: Usage | None = None) -> None:
        """Adds a finished call.

        Args:
            call: What the predictor did.
            usage: What it cost here, as a live run would have paid it.
            cut: Whether it was cut off before it was complete.
            replayed: The part of `usage` that came off a tape: the budget around this one paid for it before.
        """
        with self._lock:
            self._reasoning += call.reasoning_tokens
            self._cut = self._cut or cut
            self._usage += usage
            self._calls.append(call)
        if self._parent is None:
            return
        if replayed is None:
            # Being cut by a smaller budget inside does not use up the larger one outside.
            self._parent.record(call, usage, cut=False)
        else:
            self._parent._add(_less(usage, replayed))

    def _add(self, usage: Usage) -> None:
        with self._lock:
            self._usage += usage
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
