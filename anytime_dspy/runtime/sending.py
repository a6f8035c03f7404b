"""Sending a call to its LM: without what the LM refuses, and with what came of it read from DSPy's history."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError, LMError

from anytime_dspy.calls.acceptance import (
    acceptance,
    accepted_options,
    accepted_request,
    options_of_call,
    options_of_request,
)
from anytime_dspy.calls.completion import Completion, HistoryRecorder, recording
from anytime_dspy.calls.forced_answer import PredictorCall, effective_cap
from anytime_dspy.calls.refusals import Sent
from anytime_dspy.calls.tokens import TokenCounter, counter_for
from anytime_dspy.runtime.generation import LMRequest
from anytime_dspy.runtime.truncation import parsed_fields

__all__ = ["asend", "tokens_beyond_cap", "send"]


def send(adapter: dspy.Adapter, lm_request: LMRequest) -> Completion | None:
    """Makes a call without what its LM refuses.

    Args:
        adapter: The inner adapter, which makes the call where there is no request of our own.
        lm_request: The call.

    Returns:
        What came of it; None where the LM refuses the call whatever is left out.
    """
    while (taken := _taken(lm_request)) is not None:
        recorder, begun, values = HistoryRecorder(), time.perf_counter(), None
        try:
            with recording(recorder):
                if taken.prefilled is not None:
                    taken.call.lm(taken.prefilled, **_execution_options(taken.call))
                else:
                    values = adapter(**_arguments(taken.call))[0]
        except AdapterParseError:
            pass  # cut off or malformed: what was written is in the ledger
        except LMError as error:
            if not _learns(taken, error):
                raise
            continue
        return _made(adapter, lm_request, taken, recorder, values, time.perf_counter() - begun)
    return None


async def asend(adapter: dspy.Adapter, lm_request: LMRequest) -> Completion | None:
    """Makes a call as `send` does, asynchronously."""
    while (taken := _taken(lm_request)) is not None:
        recorder, begun, values = HistoryRecorder(), time.perf_counter(), None
        try:
            with recording(recorder):
                if taken.prefilled is not None:
                    await taken.call.lm.acall(taken.prefilled, **_execution_options(taken.call))
                else:
                    values = (await adapter.acall(**_arguments(taken.call)))[0]
        except AdapterParseError:
            pass
        except LMError as error:
            if not _learns(taken, error):
                raise
            continue
        return _made(adapter, lm_request, taken, recorder, values, time.perf_counter() - begun)
    return None


def _made(
    adapter: dspy.Adapter,
    lm_request: LMRequest,
    taken: LMRequest,
    recorder: HistoryRecorder,
    values: dict[str, Any] | None,
    seconds: float,
) -> Completion:
    """What came of a call, cut to the cap that was meant where the LM takes none so low."""
    counter = counter_for(lm_request.call.lm)
    completion = recorder.completion(lm_request.call.lm, values, seconds)
    if taken is lm_request:
        return completion
    meant, sent = _sent(lm_request).cap, _sent(taken).cap
    if meant is None or meant == sent:
        return completion
    within = completion.within(meant, counter)
    if within is completion or lm_request.prefilled is not None:
        return within
    return replace(within, values=parsed_fields(adapter, lm_request.call.signature, within.text, within.thinking))


def _arguments(call: PredictorCall) -> dict[str, Any]:
    # The base adapter changes the options that it is given.
    return {**vars(call), "lm_kwargs": dict(call.lm_kwargs), "demos": list(call.demos)}


def _taken(lm_request: LMRequest) -> LMRequest | None:
    """Returns what is asked without what the LM refuses, None where it refuses such a request."""
    lm = lm_request.call.lm
    if not acceptance(lm).has_refused:
        return lm_request
    if lm_request.prefilled is None:
        return replace(
            lm_request, call=replace(lm_request.call, lm_kwargs=accepted_options(lm, lm_request.call.lm_kwargs))
        )
    request = accepted_request(lm, lm_request.prefilled)
    return None if request is None else replace(lm_request, prefilled=request)


def _sent(lm_request: LMRequest) -> Sent:
    return (
        options_of_request(lm_request.prefilled)
        if lm_request.prefilled is not None
        else options_of_call(lm_request.call.lm, lm_request.call.lm_kwargs)
    )


def _learns(taken: LMRequest, error: LMError) -> bool:
    return acceptance(taken.call.lm).learns_from(error, _sent(taken))


def tokens_beyond_cap(call: PredictorCall, written: Completion, cap: int, counter: TokenCounter) -> int:
    """Tokens of a message beyond its cap that are billed all the same, where the LM takes no cap so low."""
    cap, floor = effective_cap(call, cap), acceptance(call.lm).least_cap
    if floor <= cap:
        return 0
    return max(0, min(written.hidden_tokens + counter.count(written.text) + written.beyond, floor) - cap)


def _execution_options(call: PredictorCall) -> dict[str, Any]:
    options = {**call.lm.kwargs, **call.lm_kwargs}
    return {name: options[name] for name in ("rollout_id", "cache") if options.get(name) is not None}
