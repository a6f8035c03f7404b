"""Checks that an answer can be written in its allowance of tokens."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, cast

import dspy

from anytime_dspy.calls import formats
from anytime_dspy.calls.forced_answer import answer_signature, can_continue
from anytime_dspy.calls.predictor_call import PredictorCall
from anytime_dspy.calls.signature_text import KNOWN
from anytime_dspy.calls.tokens import TokenCounter, counter_for
from anytime_dspy.errors import BudgetError
from anytime_dspy.runtime.predictors import lm_of

__all__ = ["check_answer_size", "check_answer_sizes"]


def check_answer_sizes(predictors: Iterable[dspy.Predict], adapter: dspy.Adapter, answer_tokens: int) -> None:
    """Checks the answer tokens against all predictors of a program, before the first call is paid for.

    Raises:
        BudgetError: See `check_answer_size`.
    """
    for predictor in predictors:
        lm = lm_of(predictor)
        if isinstance(lm, dspy.BaseLM):  # DSPy says of anything else what is wrong with it
            call = PredictorCall(lm, {}, predictor.signature, [], {})
            check_answer_size(adapter, call, counter_for(lm), answer_tokens)


def check_answer_size(adapter: dspy.Adapter, call: PredictorCall, counter: TokenCounter, answer_tokens: int) -> None:
    """Checks that `answer_tokens` fits the answer's headers and a minimal value per field.

    Raises:
        BudgetError: It does not.
    """
    # The first header is in the message that is continued.
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
            f"{least} tokens, so give answer_tokens={least} or more"
        )


@lru_cache(maxsize=256)  # checked for every call, and the same for all calls of a predictor
def _least_in(kind: Any, signature: Any, counter: Any, continues: bool) -> int:
    return _least(kind(), signature, counter, continues)


def _least(adapter: dspy.Adapter, signature: type[dspy.Signature], counter: TokenCounter, continues: bool) -> int:
    """Returns the tokens of the shortest answer, 0 if the adapter cannot show one."""
    try:
        text = adapter.format_assistant_message_content(signature, dict.fromkeys(signature.output_fields, "0"))
    except NotImplementedError:  # a custom adapter need not have this method
        return 0
    text = text[: formats.completion_end(adapter, signature, text)].strip()
    if continues:
        text = text.removeprefix(formats.opening(adapter, next(iter(signature.output_fields))) or "")
    return counter.count(text)
