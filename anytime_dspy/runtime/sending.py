"""Sending a call to its LM: without what the LM refuses, and with what came of it read from DSPy's history."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError, LMError

from anytime_dspy.calls.acceptance import acceptance, options_taken, request_taken, sent_in, sent_with
from anytime_dspy.calls.completion import Completion, Ledger, recording
from anytime_dspy.calls.forced_answer import Question, cap_of
from anytime_dspy.calls.refusals import Sent
from anytime_dspy.calls.tokens import TokenCounter, counter_for
from anytime_dspy.runtime.generation import Ask
from anytime_dspy.runtime.truncation import parsed

__all__ = ["asend", "beyond_cap", "send"]


def send(adapter: dspy.Adapter, ask: Ask) -> Completion | None:
    """Makes a call without what its LM refuses.

    Args:
        adapter: The inner adapter, which makes the call where there is no request of our own.
        ask: The call.

    Returns:
        What came of it; None where the LM refuses the call whatever is left out.
    """
    while (taken := _taken(ask)) is not None:
        ledger, begun, values = Ledger(), time.perf_counter(), None
        try:
            with recording(ledger):
                if taken.request is not None:
                    taken.question.lm(taken.request, **_execution_options(taken.question))
                else:
                    values = adapter(**_arguments(taken.question))[0]
        except AdapterParseError:
            pass  # cut off or malformed: what was written is in the ledger
        except LMError as error:
            if not _learns(taken, error):
                raise
            continue
        return _made(adapter, ask, taken, ledger, values, time.perf_counter() - begun)
    return None


async def asend(adapter: dspy.Adapter, ask: Ask) -> Completion | None:
    """Makes a call as `send` does, asynchronously."""
    while (taken := _taken(ask)) is not None:
        ledger, begun, values = Ledger(), time.perf_counter(), None
        try:
            with recording(ledger):
                if taken.request is not None:
                    await taken.question.lm.acall(taken.request, **_execution_options(taken.question))
                else:
                    values = (await adapter.acall(**_arguments(taken.question)))[0]
        except AdapterParseError:
            pass
        except LMError as error:
            if not _learns(taken, error):
                raise
            continue
        return _made(adapter, ask, taken, ledger, values, time.perf_counter() - begun)
    return None


def _made(
    adapter: dspy.Adapter, ask: Ask, taken: Ask, ledger: Ledger, values: dict[str, Any] | None, seconds: float
) -> Completion:
    """What came of a call, cut to the cap that was meant where the LM takes none so low."""
    counter = counter_for(ask.question.lm)
    completion = ledger.completion(ask.question.lm, values, seconds)
    if taken is ask:
        return completion
    meant, sent = _sent(ask).cap, _sent(taken).cap
    if meant is None or meant == sent:
        return completion
    within = completion.within(meant, counter)
    if within is completion or ask.request is not None:
        return within
    return replace(within, values=parsed(adapter, ask.question.signature, within.text, within.thinking))


def _arguments(question: Question) -> dict[str, Any]:
    # The base adapter changes the options that it is given.
    return {**vars(question), "lm_kwargs": dict(question.lm_kwargs), "demos": list(question.demos)}


def _taken(ask: Ask) -> Ask | None:
    """Returns what is asked without what the LM refuses, None where it refuses such a request."""
    lm = ask.question.lm
    if not acceptance(lm).has_refused:
        return ask
    if ask.request is None:
        return replace(ask, question=replace(ask.question, lm_kwargs=options_taken(lm, ask.question.lm_kwargs)))
    request = request_taken(lm, ask.request)
    return None if request is None else replace(ask, request=request)


def _sent(ask: Ask) -> Sent:
    return sent_in(ask.request) if ask.request is not None else sent_with(ask.question.lm, ask.question.lm_kwargs)


def _learns(taken: Ask, error: LMError) -> bool:
    return acceptance(taken.question.lm).learns_from(error, _sent(taken))


def beyond_cap(question: Question, written: Completion, cap: int, counter: TokenCounter) -> int:
    """Tokens of a message beyond its cap that are billed all the same, where the LM takes no cap so low."""
    cap, floor = cap_of(question, cap), acceptance(question.lm).least_cap
    if floor <= cap:
        return 0
    return max(0, min(written.hidden_tokens + counter.count(written.text) + written.beyond, floor) - cap)


def _execution_options(question: Question) -> dict[str, Any]:
    options = {**question.lm.kwargs, **question.lm_kwargs}
    return {name: options[name] for name in ("rollout_id", "cache") if options.get(name) is not None}
