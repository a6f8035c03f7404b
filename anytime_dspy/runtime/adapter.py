"""The adapter that enforces a budget: every predictor call of a program goes through it."""

from __future__ import annotations

import copy
import logging
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, cast

import dspy

from anytime_dspy.calls.agents import last_step
from anytime_dspy.calls.completion import Completion, check_thinking_shown
from anytime_dspy.calls.forced_answer import (
    Answer,
    can_continue,
    continue_request,
    read_answer,
    restated_call,
    with_answer_options,
)
from anytime_dspy.calls.predictor_call import PredictorCall
from anytime_dspy.calls.signature_text import remembering
from anytime_dspy.calls.tokens import counter_for
from anytime_dspy.checkpoint import Call, Usage
from anytime_dspy.errors import ModelError, ProgramError
from anytime_dspy.runtime.allowance import Allowance
from anytime_dspy.runtime.answer_size import check_answer_size
from anytime_dspy.runtime.copies import own_copy
from anytime_dspy.runtime.generation import GeneratedMessage, LMCalls, LMRequest, MessageWriter
from anytime_dspy.runtime.sending import blocking, send, tokens_beyond_cap
from anytime_dspy.runtime.streaming import StreamFilter
from anytime_dspy.runtime.tape import Recorded, Replay, call_key
from anytime_dspy.runtime.tracker import BudgetTracker
from anytime_dspy.runtime.truncation import Truncated, truncate

__all__ = ["BudgetAdapter"]


class _ExpectedTruncation(logging.Filter):
    """Drops DSPy's warnings about truncated answers where a budget truncates them on purpose."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (isinstance(dspy.settings.adapter, BudgetAdapter) and "truncated" in str(record.msg))


logging.getLogger("dspy.clients.lm").addFilter(_ExpectedTruncation())


@dataclass(frozen=True)
class _TapedCall:
    """A call's place on the tape; both parts are None without a tape, `recorded` also if the tape lacks the call."""

    key: Hashable = None
    recorded: Recorded[GeneratedMessage] | None = None

    @property
    def place(self) -> int | None:
        return self.recorded.place if self.recorded else None

    @property
    def message(self) -> GeneratedMessage | None:
        return self.recorded.value if self.recorded else None


@dataclass(frozen=True)
class _Counted:
    """How a call is charged to the budget.

    Attributes:
        truncated: The message, truncated to the budget.
        usage: What it cost, and its forced answer.
        exhausting: Whether the budget truncated it.
        reasoning: Reasoning tokens that were allowed.
        replayed: The part of `usage` that was paid for when the tape was recorded, if any.
    """

    truncated: Truncated = field(default_factory=lambda: Truncated(None, "", "", 0, 0, cut=True))
    usage: Usage = field(default_factory=Usage)
    exhausting: bool = True
    reasoning: int = 0
    replayed: Usage | None = None


class BudgetAdapter(dspy.Adapter):
    """Runs an inner adapter's calls under a budget of reasoning tokens.

    A call is capped at what remains of the budget plus its answer tokens. If it does not end in an answer, its
    reasoning is cut to the budget and the answer is forced. `anytime_dspy.budget` sets this adapter in a
    `dspy.context`.

    Args:
        inner: The adapter whose prompt format the program uses.
        tracker: The budget; every call is charged to it.
        replay: A tape to read calls from; calls that it lacks are made and recorded.
    """

    def __new__(cls, inner: dspy.Adapter | None = None, *args: Any, **kwargs: Any) -> BudgetAdapter:
        """Makes an instance of the inner adapter's class too, since DSPy's stream listeners check its name."""
        kind: Any = cls
        if cls is BudgetAdapter and inner is not None:
            kind = _class_for(cast(Any, type(inner)))
        made: BudgetAdapter = super().__new__(kind)
        return made

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Skips DSPy's own hook, which would report every format and parse to callbacks once per class."""

    def __init__(
        self, inner: dspy.Adapter | None = None, tracker: BudgetTracker | None = None, replay: Replay | None = None
    ) -> None:
        if inner is None or tracker is None:
            # dspy.Refine calls the class of the current adapter without arguments: same adapter, same budget.
            self.__dict__.update(vars(dspy.settings.adapter))
            return
        self.__dict__.update(vars(inner))
        self.inner = _without_fallback(inner)
        self.tracker = tracker
        self.replay = replay

    def __call__(
        self,
        lm: Any,
        lm_kwargs: dict[str, Any],
        signature: type[dspy.Signature],
        demos: list[Any],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """Answers a predictor's call under the budget; called by DSPy."""
        return blocking(self._answer(PredictorCall(lm, lm_kwargs, signature, demos, inputs), waits=False))

    async def acall(
        self,
        lm: Any,
        lm_kwargs: dict[str, Any],
        signature: type[dspy.Signature],
        demos: list[Any],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """Answers a predictor's call under the budget, asynchronously; called by DSPy."""
        return await self._answer(PredictorCall(lm, lm_kwargs, signature, demos, inputs), waits=True)

    def format(self, signature: type[dspy.Signature], demos: list[Any], inputs: dict[str, Any]) -> Any:
        """Formats as the inner adapter does."""
        return self.inner.format(signature, demos, inputs)

    def format_user_message_content(
        self, signature: type[dspy.Signature], inputs: dict[str, Any], **options: Any
    ) -> str:
        """Formats as the inner adapter does; dspy.ReAct writes its trajectory with it."""
        return str(self.inner.format_user_message_content(signature, inputs, **options))

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, Any]:
        """Parses as the inner adapter does."""
        return dict(self.inner.parse(signature, completion))

    def _look_up(self, call: PredictorCall) -> _TapedCall:
        if self.replay is None:
            return _TapedCall()
        key = call_key(call)
        return _TapedCall(key, self.replay.calls.next(key))

    async def _answer(self, call: PredictorCall, *, waits: bool) -> list[dict[str, Any]]:
        taped = self._look_up(call)
        plan = self._plan(call, taped)
        completion: Completion | None = None
        stream = StreamFilter(self.inner, call, self.tracker.answer_tokens)
        async with self._slot(taped, waits=waits):
            while True:
                try:
                    request = plan.send(completion)  # a generator's first value must be None
                except StopIteration as end:
                    await stream.pass_on(stream.accepted(), waits=waits)
                    return [end.value]
                with stream.filtering(request):
                    completion = await send(self.inner, request, waits=waits)
                await stream.pass_on(stream.ended(), waits=waits)

    def _slot(self, taped: _TapedCall, *, waits: bool) -> AbstractAsyncContextManager[None]:
        slot = self.tracker.order.slot(waits=waits)
        return slot if self.replay is None else _replaying(self.replay, taped, slot, waits=waits)

    def _plan(self, call: PredictorCall, taped: _TapedCall) -> LMCalls[dict[str, Any]]:
        """Answers a call; `_answer` makes each LM call that is yielded."""
        _check(call)
        counter = counter_for(call.lm)
        if taped.recorded is None:
            check_answer_size(self.inner, call, counter, self.tracker.answer_tokens)
        writer = MessageWriter(self.inner, call, self.tracker, counter)
        message = yield from writer.write(taped.message)
        if message is None:
            counted = _Counted()
        else:
            self._keep(call, taped, message)
            counted = self._count(call, message, taped.message)
        truncated = counted.truncated
        values = truncated.values
        if values is None and not counted.reasoning:
            values = last_step(call.signature)
        if values is not None:
            answer = Answer(values, truncated.answer_tokens, censored=truncated.censored)
        else:
            answer, counted = yield from self._force(writer, call, taped, message, counted)
        outputs: dict[str, Any] = own_copy(answer.values)  # the tape keeps its own
        finished = Call(
            predictor=_caller_name(self.tracker.names, call.signature),
            inputs=own_copy(call.inputs),
            outputs=outputs,
            reasoning=truncated.reasoning,
            reasoning_tokens=truncated.reasoning_tokens,
            answer_tokens=answer.tokens,
            forced=truncated.values is None,
            answered=not answer.unread,
            censored=answer.censored,
            unread=answer.unread,
        )
        self.tracker.record(
            finished, counted.usage, cut=truncated.cut, exhausting=counted.exhausting, replayed=counted.replayed
        )
        if self.replay and self.tracker.exhausted:
            # Nothing remains whose order could matter, and the forced answer may change the program's path.
            self.replay.order.abandon_recording()
        return outputs

    def _keep(self, call: PredictorCall, taped: _TapedCall, message: GeneratedMessage) -> None:
        if self.replay is None:
            return
        check_thinking_shown(call.lm, message.completion, counter_for(call.lm))
        if taped.recorded is None:
            self.replay.calls.add(taped.key, message)
        elif message is not taped.message:
            self.replay.calls.replace(taped.key, taped.recorded, message)

    def _count(self, call: PredictorCall, message: GeneratedMessage, recorded: GeneratedMessage | None) -> _Counted:
        """Truncates a message to the budget and tells what of its cost the tape has paid for."""
        left = self.tracker.left(paid=recorded is not None)
        reasoning = int(min(left.tokens, message.allowed.reasoning))
        truncated, usage = self._truncated(call, message, reasoning)
        is_users_cap = self._is_capped_by_user(call, message, reasoning)
        exhausting = truncated.shortened or (truncated.cut and not is_users_cap)
        replayed = None
        if recorded is not None and message.continues(recorded):
            paid = int(min(reasoning, recorded.allowed.reasoning))
            is_all_paid = message.completion is recorded.completion and paid == reasoning
            replayed = usage if is_all_paid else self._truncated(call, recorded, paid)[1]
        return _Counted(truncated, usage, exhausting, reasoning, replayed)

    def _truncated(self, call: PredictorCall, message: GeneratedMessage, reasoning: int) -> tuple[Truncated, Usage]:
        """Returns a message truncated to `reasoning` tokens, and what it cost."""
        allowed = Allowance(reasoning, self.tracker.answer_tokens)
        completion, counter = message.completion, counter_for(call.lm)
        truncated = truncate(self.inner, call.signature, completion, allowed, counter)
        billed = truncated.answer_tokens + tokens_beyond_cap(call, completion, allowed.cap, counter)
        return truncated, _usage(completion, truncated.reasoning_tokens, billed, calls=message.calls)

    def _is_capped_by_user(self, call: PredictorCall, message: GeneratedMessage, reasoning: int) -> bool:
        """Whether a cap of the user's own, lower than the budget's, is where the message ends."""
        allowed = min(message.allowed.cap, reasoning + self.tracker.answer_tokens)
        return call.cap(allowed) < allowed

    def _force(
        self,
        writer: MessageWriter,
        call: PredictorCall,
        taped: _TapedCall,
        message: GeneratedMessage | None,
        counted: _Counted,
    ) -> LMCalls[tuple[Answer, _Counted]]:
        """Forces the answer, unless the tape has it for this cut, and counts what it cost."""
        truncated = counted.truncated
        written = message.completion if message else None
        is_taped = written is None or (taped.message is not None and written is taped.message.completion)
        key = taped.key, truncated.begun, truncated.reasoning, self.tracker.answer_tokens
        known = self.replay.answers.next(key) if self.replay and is_taped else None
        continues = can_continue(self.inner, call, written)
        completion = known.value if known else None
        while completion is None:  # an LM that rejects the continuation is asked by restating
            continues = can_continue(self.inner, call, written)
            asked = with_answer_options(call, self.tracker.answer_tokens, written)
            completion = yield from writer.send(self._answer_request(asked, taped, truncated, continues=continues))
        if self.replay and not known:
            self.replay.answers.add(key, completion)
        answer = read_answer(self.inner, call, truncated.reasoning, completion, continued=continues)
        usage = _usage(completion, 0, answer.tokens + completion.beyond, completion.hidden_tokens)
        replayed = (counted.replayed or Usage()) + usage if known else counted.replayed
        return answer, replace(counted, usage=counted.usage + usage, replayed=replayed)

    def _answer_request(
        self, asked: PredictorCall, taped: _TapedCall, truncated: Truncated, *, continues: bool
    ) -> LMRequest:
        if not continues:
            return LMRequest(restated_call(asked, truncated.reasoning))
        if self.replay is None:
            return LMRequest(asked, continue_request(self.inner, asked, truncated.begun))
        last = self.replay.answer_requests.get(taped.key)
        is_alike = last and last.call.lm is asked.lm and last.call.lm_kwargs == asked.lm_kwargs
        like = last.prefilled if last and is_alike else None
        request = LMRequest(asked, continue_request(self.inner, asked, truncated.begun, like))
        self.replay.answer_requests[taped.key] = request
        return request


@asynccontextmanager
async def _replaying(
    replay: Replay, taped: _TapedCall, slot: AbstractAsyncContextManager[None], *, waits: bool
) -> AsyncIterator[None]:
    async with replay.order.slot(taped.place, waits=waits), slot:
        with replay.refusing():
            yield


@lru_cache(maxsize=64)
def _class_for(kind: Any) -> type[BudgetAdapter]:
    return type(kind.__name__, (BudgetAdapter, kind), {"__module__": kind.__module__, "__doc__": BudgetAdapter.__doc__})


def _check(call: PredictorCall) -> None:
    if (call.options.get("n") or call.options.get("num_generations") or 1) > 1:
        raise ProgramError("a budget covers one completion a call: leave out n > 1, or call the program several times")
    # An engine that does not list its options may take any.
    known = getattr(getattr(call.lm, "engine", None), "supported_params", None)
    if known and not {"max_tokens", "max_completion_tokens"} & set(known):
        raise ModelError(
            f"{call.lm.model} takes no max_tokens, so that nothing caps what it writes: use another LM, or name "
            "max_tokens in its engine's supported_params if the engine does obey it"
        )


def _without_fallback(adapter: dspy.Adapter) -> dspy.Adapter:
    """Returns the adapter without its retry in JSON, which would generate tokens outside the budget."""
    if isinstance(adapter, dspy.TwoStepAdapter):
        raise ProgramError(
            "dspy.TwoStepAdapter asks a second LM that no budget reaches: use ChatAdapter, JSONAdapter or XMLAdapter"
        )
    own = remembering(adapter)
    if getattr(own, "use_json_adapter_fallback", False):
        own = copy.copy(own) if own is adapter else own
        own.use_json_adapter_fallback = False
    return own


def _usage(
    completion: Completion, reasoning_tokens: int, answer_tokens: int, hidden_tokens: int = 0, *, calls: int = 1
) -> Usage:
    return Usage(
        prompt_tokens=completion.prompt_tokens,
        reasoning_tokens=reasoning_tokens,
        answer_tokens=answer_tokens,
        hidden_tokens=hidden_tokens,
        calls=calls,
        seconds=completion.seconds,
        dollars=completion.dollars,
    )


def _caller_name(names: Mapping[int, str], signature: type[dspy.Signature]) -> str:
    callers = dspy.settings.caller_modules or ()
    return names.get(id(callers[-1]), signature.__name__) if callers else signature.__name__
