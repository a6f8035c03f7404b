"""What OpenTelemetry's current span is told of a run.

Nothing is imported: where no part of the process has imported OpenTelemetry, no span can be open.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import Any

from anytime_dspy.checkpoint import Usage

__all__ = ["current_span", "mark_span", "shared_span"]

shared_span: ContextVar[Any] = ContextVar("anytime_shared_span", default=None)
"""A span around many runs at once, on which none of them is noted: it would show whichever came last."""


def current_span() -> Any:
    """Returns the span that is open here and recorded, None where there is none."""
    trace = sys.modules.get("opentelemetry.trace")
    span = trace.get_current_span() if trace else None
    return span if span is not None and span.is_recording() else None


def mark_span(budget: int | None, usage: Usage, *, forced: bool, answered: bool) -> None:
    """Notes a run on the current span, if there is one and it is this run's own.

    The names of the token counts are those of OpenTelemetry's semantic conventions for generative AI.

    Args:
        budget: The cap on reasoning tokens, None where only seconds or dollars are capped.
        usage: What was paid.
        forced: Whether an answer had to be asked for.
        answered: Whether the answer could be read.
    """
    span = current_span()
    if span is None or span is shared_span.get():
        return
    thought = usage.reasoning_tokens + usage.hidden_tokens
    span.set_attributes(
        {
            "gen_ai.usage.input_tokens": usage.prompt_tokens,
            "gen_ai.usage.output_tokens": thought + usage.answer_tokens,
            "gen_ai.usage.reasoning.output_tokens": thought,
            **({} if budget is None else {"anytime.budget.tokens": budget}),
            "anytime.checkpoint.forced": forced,
            "anytime.answered": answered,
        }
    )
