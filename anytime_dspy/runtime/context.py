"""A budget around any DSPy program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import dspy

from anytime_dspy.budgets import Budget, check_answer_tokens
from anytime_dspy.runtime.adapter import BudgetAdapter
from anytime_dspy.runtime.tape import Replay, Tape
from anytime_dspy.runtime.telemetry import mark_span
from anytime_dspy.runtime.tracker import Spending

__all__ = ["ANSWER_TOKENS", "budget", "enclosing", "enforced", "inner_adapter"]

ANSWER_TOKENS = 64


@contextmanager
def budget(
    limit: int | Budget,
    *,
    answer_tokens: int = ANSWER_TOKENS,
    tape: Tape | None = None,
    names: Mapping[int, str] | None = None,
) -> Iterator[Spending]:
    """Caps the reasoning of every DSPy call made inside the `with` block.

    A call that runs out of budget is cut off and its answer asked for at once, so a program always comes to its end.
    Inside another budget, this one has at most what is left of the outer one, in every kind.

    Args:
        limit: Reasoning tokens for all calls together, or a `Budget` of tokens, seconds, dollars.
        answer_tokens: Tokens that each answer may take on top of them.
        tape: Calls are read from this tape where it has them, and recorded on it where it has not.
        names: Names of the predictors by their identity, for the calls that are recorded.

    Yields:
        What was spent so far: `reasoning`, `remaining`, `usage`, `calls`.

    Raises:
        BudgetError: `limit` or `answer_tokens` is no positive integer.
        ModelError: From the first call: the budget is in dollars, and the LM has no price.
    """
    whole = limit if isinstance(limit, Budget) else Budget(tokens=limit)
    spending = Spending(whole, check_answer_tokens(answer_tokens), parent=enclosing(), names=names)
    try:
        with enforced(spending, tape):
            yield spending
    finally:
        if spending.calls:
            mark_span(whole.tokens, spending.paid, forced=spending.forced, answered=spending.answered)


def enforced(spending: Spending, tape: Tape | None = None, **settings: Any) -> AbstractContextManager[None]:
    """Returns a context that puts every DSPy call inside it under a budget that was begun before.

    Args:
        spending: The budget.
        tape: As for `budget`.
        **settings: More settings of DSPy that are to hold there.
    """
    if tape is not None:
        return _replayed(spending, tape.replay(), settings)
    scene: AbstractContextManager[None] = dspy.context(adapter=BudgetAdapter(inner_adapter(), spending), **settings)
    return scene


@contextmanager
def _replayed(spending: Spending, replay: Replay, settings: Mapping[str, Any]) -> Iterator[None]:
    try:
        with dspy.context(adapter=BudgetAdapter(inner_adapter(), spending, replay), **settings):
            yield
    finally:
        if replay.refusals:
            raise replay.refusals[0]  # dspy.Parallel, for one, makes a None of it, and the program goes on


def inner_adapter() -> dspy.Adapter:
    """Returns the adapter whose format programs use here, with a budget around this place or without one."""
    current = dspy.settings.adapter or dspy.ChatAdapter(use_json_adapter_fallback=False)
    return current.inner if isinstance(current, BudgetAdapter) else current


def enclosing() -> Spending | None:
    """Returns what was spent of the budget around this place, or None where there is no budget."""
    adapter = dspy.settings.adapter
    return adapter.spending if isinstance(adapter, BudgetAdapter) else None
