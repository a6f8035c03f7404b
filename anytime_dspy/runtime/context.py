"""`budget`: a budget around any DSPy program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import dspy

from anytime_dspy.budgets import Budget, check_answer_tokens
from anytime_dspy.runtime.adapter import BudgetAdapter
from anytime_dspy.runtime.tape import Replay, Tape
from anytime_dspy.runtime.telemetry import mark_span
from anytime_dspy.runtime.tracker import BudgetTracker

__all__ = ["ANSWER_TOKENS", "budget", "current_tracker", "enforce", "inner_adapter"]

ANSWER_TOKENS = 64


@contextmanager
def budget(
    limit: int | Budget,
    *,
    answer_tokens: int = ANSWER_TOKENS,
    names: Mapping[int, str] | None = None,
) -> Iterator[BudgetTracker]:
    """Caps the reasoning of every DSPy call made inside the `with` block.

    A call that runs out of budget is cut off and its answer forced at once, so a program always ends with an answer.
    Inside another budget, this one has at most what remains of the outer one, in every kind.

    Args:
        limit: Reasoning tokens of all calls together, or a `Budget` of tokens, seconds, dollars.
        answer_tokens: The most tokens of each answer, on top of the budget.
        names: Names of the predictors by their identity, for the calls that are recorded.

    Yields:
        What was spent so far: `reasoning`, `remaining`, `usage`, `calls`.

    Raises:
        BudgetError: `limit` or `answer_tokens` is no positive integer, or an answer does not fit `answer_tokens`.
        ModelError: From the first call: the budget is in dollars, and the LM has no price.
    """
    whole = limit if isinstance(limit, Budget) else Budget(tokens=limit)
    tracker = BudgetTracker(whole, check_answer_tokens(answer_tokens), parent=current_tracker(), names=names)
    try:
        with enforce(tracker):
            yield tracker
    finally:
        if tracker.calls:
            mark_span(whole.tokens, tracker.paid, forced=tracker.forced, answered=tracker.answered)


def enforce(tracker: BudgetTracker, tape: Tape | None = None, **settings: Any) -> AbstractContextManager[None]:
    """Returns a context that puts every DSPy call inside it under a budget.

    Args:
        tracker: The budget.
        tape: Calls are replayed from this tape; those that it lacks are made and recorded.
        **settings: More settings for `dspy.context`.
    """
    if tape is not None:
        return _replayed(tracker, tape.replay(), settings)
    context: AbstractContextManager[None] = dspy.context(adapter=BudgetAdapter(inner_adapter(), tracker), **settings)
    return context


@contextmanager
def _replayed(tracker: BudgetTracker, replay: Replay, settings: Mapping[str, Any]) -> Iterator[None]:
    try:
        with dspy.context(adapter=BudgetAdapter(inner_adapter(), tracker, replay), **settings):
            yield
    finally:
        if replay.errors:
            raise replay.errors[0]  # dspy.Parallel, for one, turns errors into None, and the program goes on


def inner_adapter() -> dspy.Adapter:
    """Returns the adapter whose prompt format programs use here, under a budget or not."""
    current = dspy.settings.adapter or dspy.ChatAdapter(use_json_adapter_fallback=False)
    return current.inner if isinstance(current, BudgetAdapter) else current


def current_tracker() -> BudgetTracker | None:
    """Returns the surrounding budget, None if there is none."""
    adapter = dspy.settings.adapter
    return adapter.tracker if isinstance(adapter, BudgetAdapter) else None
