"""Generates a predictor's message in one LM call, in pieces under a deadline, or by continuing a truncated one."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TypeVar

import dspy

from anytime_dspy._dspy import lm15
from anytime_dspy.calls import formats
from anytime_dspy.calls.acceptance import acceptance
from anytime_dspy.calls.call_cache import call_fingerprint, current_call_cache
from anytime_dspy.calls.completion import Completion, count_replayed_call
from anytime_dspy.calls.forced_answer import (
    PARTIAL_REASONING,
    can_continue,
    message_opening,
    opened_request,
    restated_call,
    resume_request,
)
from anytime_dspy.calls.media import PART_TOKENS, parts
from anytime_dspy.calls.predictor_call import PredictorCall
from anytime_dspy.calls.tokens import TokenCounter
from anytime_dspy.runtime.allowance import Allowance, CallCosts, allowance
from anytime_dspy.runtime.prices import price_of
from anytime_dspy.runtime.tracker import BudgetTracker
from anytime_dspy.runtime.truncation import parsed_fields

__all__ = ["GeneratedMessage", "LMCalls", "LMRequest", "MessageWriter"]


@dataclass(frozen=True)
class LMRequest:
    """An LM call to be made: by the inner adapter or, where `prefilled` is given, with that request.

    Attributes:
        call: The predictor's call.
        prefilled: A request that ends in the beginning of the assistant's message.
        allowed: The allowance of the whole message; None for a forced answer.
        begun: The beginning of the message that `prefilled` ends in.
    """

    call: PredictorCall
    prefilled: lm15.Request | None = None
    allowed: Allowance | None = None
    begun: str = ""


@dataclass(frozen=True)
class GeneratedMessage:
    """An LM's message in a predictor's call.

    Attributes:
        completion: Its text and cost; of several LM calls, as one completion.
        allowed: Its allowance.
        calls: The LM calls that it took.
    """

    completion: Completion
    allowed: Allowance
    calls: int = 1

    def continues(self, earlier: GeneratedMessage) -> bool:
        """Whether this is `earlier` or a continuation of it, and was not regenerated."""
        return self.completion is earlier.completion or self.calls > earlier.calls


T = TypeVar("T")
LMCalls = Generator[LMRequest, "Completion | None", T]
"""Yields LM calls to be made, is sent their completions, and returns a T."""


class MessageWriter:
    """Generates the message of one predictor call under what remains of the budget.

    The LM calls are yielded as `LMRequest`s, so that the same code drives synchronous and asynchronous programs.

    Args:
        adapter: The inner adapter.
        call: The predictor's call.
        tracker: The budget.
        counter: Counts the tokens.

    Raises:
        ModelError: The budget is in dollars, and the LM has no price.
    """

    def __init__(
        self, adapter: dspy.Adapter, call: PredictorCall, tracker: BudgetTracker, counter: TokenCounter
    ) -> None:
        left = tracker.left()
        self._adapter = adapter
        self._call = call
        self._tracker = tracker
        self._counter = counter
        self._is_timed = left.seconds < math.inf
        has_reasoning = bool(formats.reasoning_fields(call.signature))
        self._costs = CallCosts(in_segments=self._is_timed and has_reasoning and can_continue(adapter, call, None))
        if left.dollars < math.inf:
            self._costs = replace(
                self._costs,
                price=price_of(str(call.lm.model)),
                prompt_tokens=_prompt_tokens(adapter, call, counter),
                # The longer of the two prompts that can ask for the answer alone.
                answer_prompt_tokens=_prompt_tokens(adapter, restated_call(call, PARTIAL_REASONING), counter),
            )

    def write(self, recorded: GeneratedMessage | None) -> LMCalls[GeneratedMessage | None]:
        """Generates the message.

        A taped message that was truncated is continued if the budget now allows more tokens. If the LM cannot continue
        a message, it is regenerated with the larger cap.

        Args:
            recorded: The message on the tape, if any.

        Returns:
            The message, which is `recorded` itself if nothing changed; None if no tokens are left to reason with.
        """
        message, allowed = recorded, self._allowed()
        tokens = self._tracker.left(paid=True).tokens if recorded else allowed.reasoning
        if tokens <= 0 and formats.reasoning_fields(self._call.signature):
            return None
        if message is None:
            message = yield from self._start(allowed)
        else:
            count_replayed_call()
        while message.completion.truncated and (message is recorded or self._costs.in_segments):
            continuable = can_continue(self._adapter, self._call, message.completion)
            if not continuable and message is not recorded:
                break
            allowed = self._allowed(message, recorded) if continuable else self._allowed()
            if self._call.cap(allowed.cap) <= self._call.cap(message.allowed.cap):
                break
            # An LM that rejects the continuation is treated like one that never supported it.
            message = (yield from self._continue(message, allowed) if continuable else self._start(allowed)) or message
        has_own_cap = self._call.cap(message.allowed.cap) < message.allowed.cap
        is_final = has_own_cap or not message.completion.truncated
        if message is recorded and is_final and tokens > message.allowed.reasoning:
            # The message would be the same under any larger budget, of which more of its reasoning now counts.
            return replace(message, allowed=replace(message.allowed, reasoning=int(min(tokens, message.allowed.cap))))
        return message

    def send(self, request: LMRequest) -> LMCalls[Completion | None]:
        """Makes an LM call, unless the call cache has it, and prices it if the budget is in dollars.

        Returns:
            Its completion; None if the LM does not continue messages, which is remembered.
        """
        completion = yield from _cached(self._adapter, request)
        if completion is None:
            return None
        if completion.hidden_tokens:
            acceptance(request.call.lm).thinks = True
        price, output = self._costs.price, 0
        if price or self._is_timed:
            output = completion.hidden_tokens + self._counter.count(completion.text) + completion.beyond
        if self._is_timed and not completion.cached:
            self._tracker.throughput.add(request.call.lm.model, output, completion.seconds)
        if price and completion.dollars is None:
            completion = replace(completion, dollars=price.of(completion.prompt_tokens, output))
        return completion

    def _allowed(self, begun: GeneratedMessage | None = None, recorded: GeneratedMessage | None = None) -> Allowance:
        """Returns the allowance of the whole message now, that of its beginning included."""
        left, costs = self._tracker.left(paid=recorded is not None), self._costs
        if begun is not None:
            paid_before = (recorded.completion.dollars or 0.0) if recorded else 0.0
            left = left._replace(dollars=left.dollars - (begun.completion.dollars or 0.0) + paid_before)
        if self._is_timed:
            costs = replace(costs, speed=self._tracker.throughput.of(self._call.lm.model))
        return allowance(left, self._tracker.answer_tokens, costs, begun.allowed if begun else None)

    def _start(self, allowed: Allowance) -> LMCalls[GeneratedMessage]:
        call = self._call.capped(allowed.cap)
        header = message_opening(self._adapter, call)
        completion = None
        if header:
            request = LMRequest(call, opened_request(self._adapter, call, header), allowed, header)
            completion = yield from self.send(request)
        if completion is None:
            completion = yield from self.send(LMRequest(call, allowed=allowed))
            assert completion is not None  # an LM can reject a prefilled message only
            return GeneratedMessage(completion, allowed)
        return GeneratedMessage(self._with_text(completion, f"{header}{completion.text}"), allowed)

    def _continue(self, begun: GeneratedMessage, allowed: Allowance) -> LMCalls[GeneratedMessage | None]:
        call = self._call.capped(self._call.cap(allowed.cap) - self._call.cap(begun.allowed.cap))
        text = begun.completion.text
        added = yield from self.send(LMRequest(call, resume_request(self._adapter, call, text), allowed, text))
        if added is None:
            return None
        whole = self._with_text(_sum_of_costs(begun.completion, added), text + added.text)
        return GeneratedMessage(whole, allowed, begun.calls + 1)

    def _with_text(self, completion: Completion, text: str) -> Completion:
        return replace(completion, text=text, values=parsed_fields(self._adapter, self._call.signature, text))


def _cached(adapter: dspy.Adapter, request: LMRequest) -> LMCalls[Completion | None]:
    """Makes an LM call, unless the surrounding call cache has it."""
    cache = current_call_cache()
    if cache is None:
        return (yield request)
    key = call_fingerprint(adapter, request.call, request.prefilled)
    completion = cache.completion(key, request.call.signature)
    if completion is None:
        completion = yield request
        if completion is not None and not cache.add(key, completion):
            # Another process was quicker, and all go on with the same one.
            completion = cache.completion(key, request.call.signature)
    else:
        count_replayed_call()
    return completion


def _sum_of_costs(begun: Completion, added: Completion) -> Completion:
    """Returns the second completion with the cost of both."""
    dollars = [part.dollars for part in (begun, added) if part.dollars is not None]
    return replace(
        added,
        prompt_tokens=begun.prompt_tokens + added.prompt_tokens,
        hidden_tokens=begun.hidden_tokens + added.hidden_tokens,
        beyond=begun.beyond + added.beyond,
        seconds=begun.seconds + added.seconds,
        dollars=sum(dollars) if dollars else None,
    )


def _prompt_tokens(adapter: dspy.Adapter, call: PredictorCall, counter: TokenCounter) -> int:
    contents = [parts(message["content"]) for message in call.messages(adapter)]
    return counter.count("\n".join(text for text, _ in contents)) + PART_TOKENS * sum(media for _, media in contents)
