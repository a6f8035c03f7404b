"""The least room that an answer needs: its headers, and one value in each field."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, cast

import dspy

from anytime_dspy.calls import formats
from anytime_dspy.calls.forced_answer import PredictorCall, answer_signature, can_continue
from anytime_dspy.calls.signature_text import KNOWN
from anytime_dspy.calls.tokens import TokenCounter, counter_for
from anytime_dspy.errors import BudgetError

__all__ = ["check_answer_size", "check_answer_sizes"]


def check_answer_sizes(predictors: Iterable[dspy.Predict], adapter: dspy.Adapter, answer_tokens: int) -> None:
    """Refuses an answer allowance that is too small for one of a program's predictors, before any of them is called.

    Raises:
        BudgetError: See `check_answer_size`.
    """
    for predictor in predictors:
        lm = predictor.lm or dspy.settings.lm
        if lm is not None:
            call = PredictorCall(lm, {}, predictor.signature, [], {})
            check_answer_size(adapter, call, counter_for(lm), answer_tokens)


def check_answer_size(adapter: dspy.Adapter, call: PredictorCall, counter: TokenCounter, answer_tokens: int) -> None:
    """Refuses an answer allowance in which no answer to a question can be written.

    Raises:
        BudgetError: The headers of the answer's fields and the shortest value in each take more tokens.
    """
    # The first header stands in the message that is continued.
    continues = can_continue(adapter, call, None)
    signature = answer_signature(call.signature)
    if type(adapter) in KNOWN:
        least = _least_in(cast(Any, type(adapter)), cast(Any, signature), cast(Any, counter), continues)
    else:
        least = _least(adapter, signature, counter, continues)
    if answer_tokens < least:
        fields = ", ".join(signature.output_fields)
        raise BudgetError(
            f"answer_tokens={answer_tokens} leaves no room for an answer with {fields}: its shortest form takes "
            f"{least} tokens, so give answer_tokens={least} or more."
        )


@lru_cache(maxsize=256)  # asked for every call, and the same for all of a program's
def _least_in(kind: Any, signature: Any, counter: Any, continues: bool) -> int:
    return _least(kind(), signature, counter, continues)


def _least(adapter: dspy.Adapter, signature: type[dspy.Signature], counter: TokenCounter, continues: bool) -> int:
    """Returns the tokens of the shortest answer, 0 where the adapter does not show what one looks like."""
    try:
        text = adapter.format_assistant_message_content(signature, dict.fromkeys(signature.output_fields, "0"))
    except NotImplementedError:  # an adapter of the user's own that has its own way to show an answer, or none
        return 0
    text = text[: formats.completion_end(adapter, signature, text)].strip()
    if continues:
        text = text.removeprefix(formats.opening(adapter, next(iter(signature.output_fields))) or "")
    return counter.count(text)
