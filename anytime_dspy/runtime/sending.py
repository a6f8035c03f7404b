"""Sends a call to its LM, without the options that the LM rejects, and reads its completion from DSPy's history."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar, cast

import dspy

from anytime_dspy.calls.acceptance import (
    acceptance,
    accepted_options,
    accepted_request,
    options_of_call,
    options_of_request,
)
from anytime_dspy.calls.completion import Completion, HistoryRecorder, recording
from anytime_dspy.calls.predictor_call import PredictorCall
from anytime_dspy.calls.refusals import SentOptions
from anytime_dspy.calls.tokens import TokenCounter, counter_for
from anytime_dspy.runtime.generation import LMRequest
from anytime_dspy.runtime.truncation import parsed_fields

__all__ = ["blocking", "send", "tokens_beyond_cap"]

Result = TypeVar("Result")


async def send(adapter: dspy.Adapter, request: LMRequest, *, waits: bool) -> Completion | None:
    """Makes an LM call without the options that the LM rejects.

    Args:
        adapter: The inner adapter, which makes the call if the request is not prefilled.
        request: The call.
        waits: Whether to await the LM, for an asynchronous program; otherwise the call blocks.

    Returns:
        Its completion; None if the LM rejects the call as a whole.
    """
    while (accepted := _accepted(request)) is not None:
        recorder, begun, values = HistoryRecorder(), time.perf_counter(), None
        call, prefilled = accepted.call, accepted.prefilled
        try:
            with recording(recorder):
                if prefilled is not None:
                    options = _execution_options(call)
                    await call.lm.acall(prefilled, **options) if waits else call.lm(prefilled, **options)
                else:
                    arguments = _arguments(call)
                    values = (await adapter.acall(**arguments) if waits else adapter(**arguments))[0]
        except dspy.AdapterParseError:
            pass  # truncated or malformed: the recorder has the text
        except dspy.LMError as error:
            if not _learns(accepted, error):
                raise
            continue
        return _completion(adapter, request, accepted, recorder.completion(request.call.lm, values, _since(begun)))
    return None


def blocking(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Returns the result of a coroutine that awaits nothing, without an event loop.

    Code for synchronous and asynchronous programs is thus written once: it awaits only where it is told to.
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        return cast(Result, end.value)
    raise AssertionError("unreachable: it waits for nothing")


def tokens_beyond_cap(call: PredictorCall, completion: Completion, cap: int, counter: TokenCounter) -> int:
    """Returns the tokens of a message beyond its cap that are billed because the LM rejects so low a cap."""
    cap, floor = call.cap(cap), acceptance(call.lm).least_cap
    if floor <= cap:
        return 0
    return max(0, min(completion.hidden_tokens + counter.count(completion.text) + completion.beyond, floor) - cap)


def _completion(adapter: dspy.Adapter, request: LMRequest, accepted: LMRequest, completion: Completion) -> Completion:
    """Returns the completion, cut to the cap of the request where the LM was sent a higher one."""
    if accepted is request:
        return completion
    cap = _options(request).cap
    if cap is None or cap == _options(accepted).cap:
        return completion
    within = completion.within(cap, counter_for(request.call.lm))
    if within is completion or request.prefilled is not None:
        return within
    return replace(within, values=parsed_fields(adapter, request.call.signature, within.text, within.thinking))


def _accepted(request: LMRequest) -> LMRequest | None:
    """Returns the request without what the LM rejects; None if it rejects such a request."""
    call = request.call
    if not acceptance(call.lm).has_refused:
        return request
    if request.prefilled is None:
        return replace(request, call=replace(call, lm_kwargs=accepted_options(call.lm, call.lm_kwargs)))
    prefilled = accepted_request(call.lm, request.prefilled)
    return None if prefilled is None else replace(request, prefilled=prefilled)


def _options(request: LMRequest) -> SentOptions:
    if request.prefilled is not None:
        return options_of_request(request.prefilled)
    return options_of_call(request.call.lm, request.call.lm_kwargs)


def _learns(accepted: LMRequest, error: dspy.LMError) -> bool:
    return acceptance(accepted.call.lm).learns_from(error, _options(accepted))


def _arguments(call: PredictorCall) -> dict[str, Any]:
    # The base adapter changes the options that it is given.
    return {**vars(call), "lm_kwargs": dict(call.lm_kwargs), "demos": list(call.demos)}


def _execution_options(call: PredictorCall) -> dict[str, Any]:
    return {name: call.options[name] for name in ("rollout_id", "cache") if call.options.get(name) is not None}


def _since(begun: float) -> float:
    return time.perf_counter() - begun
