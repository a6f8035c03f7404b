"""Getting a message written: in one call, piece by piece under a deadline, or on from where it was cut off."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, replace

import dspy
from dspy.lm15 import Request

from anytime_dspy.calls import formats
from anytime_dspy.calls.acceptance import acceptance
from anytime_dspy.calls.call_cache import call_fingerprint, current_call_log
from anytime_dspy.calls.completion import Completion, count_replayed_call
from anytime_dspy.calls.forced_answer import (
    PARTIAL_REASONING,
    PredictorCall,
    can_continue,
    capped_options,
    effective_cap,
    message_opening,
    opened_request,
    restated_call,
    resume_request,
)
from anytime_dspy.calls.media import PART_TOKENS, parts
from anytime_dspy.calls.tokens import TokenCounter
from anytime_dspy.runtime.allowance import Allowance, CallCosts, allowance
from anytime_dspy.runtime.prices import price_of
from anytime_dspy.runtime.tracker import BudgetTracker
from anytime_dspy.runtime.truncation import parsed_fields

__all__ = ["LMRequest", "Message", "MessageWriter"]


@dataclass(frozen=True)
class LMRequest:
    """A call to be made: the inner adapter's own, or a request of ours to the LM itself.

    Attributes:
        call: The predictor's call.
        request: What is sent instead of the question, where it is a request of our own.
        allowed: What the whole message may be; None where an answer alone is asked for.
        begun: What is there of the message before the call.
    """

    call: PredictorCall
    prefilled: Request | None = None
    allowed: Allowance | None = None
    begun: str = ""


@dataclass(frozen=True)
class Message:
    """What an LM wrote in answer to one question.

    Attributes:
        written: It, and what it cost; as one completion where it was written piece by piece.
        allowed: What it was allowed to be.
        calls: LM calls that it was written in.
    """

    written: Completion
    allowed: Allowance
    calls: int = 1

    def goes_on_from(self, begun: Message) -> bool:
        """Whether this is that message, as it was or with more written on to it; else it was asked for anew."""
        return self.written is begun.written or self.calls > begun.calls


class MessageWriter:
    """Has the message of one predictor's call written under what is left of the budget.

    Args:
        adapter: The inner adapter.
        call: What the predictor asks.
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
                # The longer of the two ways to ask for an answer alone.
                answer_prompt_tokens=_prompt_tokens(adapter, restated_call(call, PARTIAL_REASONING), counter),
            )

    def write(self, recorded: Message | None) -> Generator[LMRequest, Completion | None, Message | None]:
        """Asks for the message; one that stands on a tape is gone on with where it was cut off and more is allowed now.

        Where the LM cannot go on with a message, a tape's one is asked for anew.

        Args:
            recorded: The message on the tape, if there is one.

        Returns:
            The message; `recorded` where nothing changed, None where there is nothing left to reason with.
        """
        message, allowed = recorded, self._allowed()
        tokens = self._tracker.left(paid=True).tokens if recorded else allowed.reasoning
        # With nothing left to reason with, only an answer is asked for.
        if tokens <= 0 and formats.reasoning_fields(self._call.signature):
            return None
        if message is None:
            message = yield from self._begin(allowed)
        else:
            count_replayed_call()
        while message.written.truncated and (message is recorded or self._costs.in_segments):
            goes_on = can_continue(self._adapter, self._call, message.written)
            if not goes_on and message is not recorded:
                break
            allowed = self._allowed(message, recorded) if goes_on else self._allowed()
            if effective_cap(self._call, allowed.cap) <= effective_cap(self._call, message.allowed.cap):
                break
            # Where the LM turns out not to go on with a message, it is as if it had never been able to.
            message = (yield from self._go_on(message, allowed) if goes_on else self._begin(allowed)) or message
        own = effective_cap(self._call, message.allowed.cap) < message.allowed.cap
        is_final = own or not message.written.truncated
        if message is recorded and is_final and tokens > message.allowed.reasoning:
            # No budget would have made it longer, though a smaller one left the end of its reasoning out.
            reasoning = int(min(tokens, message.allowed.cap))
            return replace(message, allowed=Allowance(reasoning, message.allowed.answer))
        return message

    def send(self, lm_request: LMRequest) -> Generator[LMRequest, Completion | None, Completion | None]:
        """Has a call made, unless a log of this run's calls holds it, and priced where dollars are counted.

        Returns:
            What came of it; None where the LM refuses to go on with a message of its own, which is known from then on.
        """
        completion = yield from _logged(self._adapter, lm_request)
        if completion is None:
            return None
        if completion.hidden_tokens:
            acceptance(lm_request.call.lm).thinks = True
        price, output = self._costs.price, 0
        if price or self._is_timed:
            output = completion.hidden_tokens + self._counter.count(completion.text) + completion.beyond
        if self._is_timed and not completion.cached:
            self._tracker.throughput.add(lm_request.call.lm.model, output, completion.seconds)
        if price and completion.dollars is None:
            completion = replace(completion, dollars=price.of(completion.prompt_tokens, output))
        return completion

    def _allowed(self, begun: Message | None = None, recorded: Message | None = None) -> Allowance:
        """What may be written now, that of a begun message included."""
        left, costs = self._tracker.left(paid=recorded is not None), self._costs
        if begun is not None:
            paid_before = (recorded.written.dollars or 0.0) if recorded else 0.0
            left = left._replace(dollars=left.dollars - (begun.written.dollars or 0.0) + paid_before)
        if self._is_timed:
            costs = replace(costs, speed=self._tracker.throughput.of(self._call.lm.model))
        return allowance(left, self._tracker.answer_tokens, costs, begun.allowed if begun else None)

    def _begin(self, allowed: Allowance) -> Generator[LMRequest, Completion | None, Message]:
        call = replace(self._call, lm_kwargs=capped_options(self._call, allowed.cap))
        header = message_opening(self._adapter, call)
        made = None
        if header:
            made = yield from self.send(LMRequest(call, opened_request(self._adapter, call, header), allowed, header))
        if made is None:
            made = yield from self.send(LMRequest(call, allowed=allowed))
            assert made is not None  # only a request to go on with a message is refused as a whole
            return Message(made, allowed)
        text = f"{header}{made.text}"
        return Message(replace(made, text=text, values=parsed_fields(self._adapter, call.signature, text)), allowed)

    def _go_on(self, begun: Message, allowed: Allowance) -> Generator[LMRequest, Completion | None, Message | None]:
        more = effective_cap(self._call, allowed.cap) - effective_cap(self._call, begun.allowed.cap)
        call = replace(self._call, lm_kwargs=capped_options(self._call, more))
        text = begun.written.text
        made = yield from self.send(LMRequest(call, resume_request(self._adapter, call, text), allowed, text))
        if made is None:
            return None
        written = _joined(begun.written, made)
        written = replace(written, values=parsed_fields(self._adapter, call.signature, written.text))
        return Message(written, allowed, begun.calls + 1)


def _logged(adapter: dspy.Adapter, lm_request: LMRequest) -> Generator[LMRequest, Completion | None, Completion | None]:
    """Has a call made, unless a log of this run's calls holds it."""
    log = current_call_log()
    if log is None:
        return (yield lm_request)
    key = call_fingerprint(adapter, lm_request.call, lm_request.prefilled)
    completion = log.get(key, lm_request.call.signature)
    if completion is None:
        completion = yield lm_request
        if completion is not None:
            log.add(key, completion)
    else:
        count_replayed_call()
    return completion


def _joined(begun: Completion, made: Completion) -> Completion:
    """The message with what was written on to it, and all that both calls cost."""
    dollars = [part.dollars for part in (begun, made) if part.dollars is not None]
    return replace(
        made,
        text=begun.text + made.text,
        prompt_tokens=begun.prompt_tokens + made.prompt_tokens,
        hidden_tokens=begun.hidden_tokens + made.hidden_tokens,
        beyond=begun.beyond + made.beyond,
        seconds=begun.seconds + made.seconds,
        dollars=sum(dollars) if dollars else None,
    )


def _prompt_tokens(adapter: dspy.Adapter, call: PredictorCall, counter: TokenCounter) -> int:
    messages = adapter.format(call.signature, list(call.demos), dict(call.inputs))
    contents = [parts(message["content"]) for message in messages]
    return counter.count("\n".join(text for text, _ in contents)) + PART_TOKENS * sum(media for _, media in contents)
