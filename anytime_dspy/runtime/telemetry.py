"""What the current span of a trace is told of a run: OpenTelemetry's, and MLflow's.

Neither is imported here: where no part of the process has imported it, no span of it can be open.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import Any

from anytime_dspy.checkpoint import Usage

__all__ = ["current_spans", "mark_span", "shared_spans"]

shared_spans: ContextVar[tuple[Any, ...]] = ContextVar("anytime_shared_spans", default=())
"""Spans around many runs at once, on which none of them is noted: they would show whichever came last."""


def current_spans() -> tuple[Any, ...]:
    """Returns the spans that are open here: OpenTelemetry's, if it is recorded, and MLflow's, which it keeps apart."""
    trace = sys.modules.get("opentelemetry.trace")
    mlflow: Any = sys.modules.get("mlflow")
    span = trace.get_current_span() if trace else None
    own = mlflow.get_current_active_span() if hasattr(mlflow, "get_current_active_span") else None
    recorded = span if span is not None and span.is_recording() else None
    return tuple(one for one in (recorded, own) if one is not None)


def mark_span(budget: int | None, usage: Usage, *, forced: bool, answered: bool) -> None:
    """Notes a run on the current span, if there is one and it is this run's own.

    The names of the token counts are those of OpenTelemetry's semantic conventions for generative AI.

    Args:
        budget: The cap on reasoning tokens, None where only seconds or dollars are capped.
        usage: What was paid.
        forced: Whether an answer had to be asked for.
        answered: Whether the answer could be read.
    """
    spans = [span for span in current_spans() if not any(span is shared for shared in shared_spans.get())]
    if not spans:
        return
    thought = usage.reasoning_tokens + usage.hidden_tokens
    attributes = {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": thought + usage.answer_tokens,
        "gen_ai.usage.reasoning.output_tokens": thought,
        **({} if budget is None else {"anytime.budget.tokens": budget}),
        "anytime.checkpoint.forced": forced,
        "anytime.answered": answered,
    }
    for span in spans:
        span.set_attributes(attributes)
