"""The adapter that enforces a budget: the one place through which every call of a program goes."""

from __future__ import annotations

import copy
import logging
from collections.abc import AsyncIterator, Generator, Hashable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import dspy
from dspy.utils.exceptions import AdapterParseError

from anytime_dspy.calls import formats
from anytime_dspy.calls.agents import last_step
from anytime_dspy.calls.answer_fields import unread
from anytime_dspy.calls.completion import Completion, check_thinking_shown
from anytime_dspy.calls.forced_answer import (
    PredictorCall,
    answer_signature,
    can_continue,
    continue_request,
    effective_cap,
    restated_call,
    with_answer_options,
)
from anytime_dspy.calls.signature_text import remembering
from anytime_dspy.calls.thinking import split_thinking
from anytime_dspy.calls.tokens import TokenCounter, counter_for
from anytime_dspy.checkpoint import Call, Usage
from anytime_dspy.errors import ModelError, ProgramError
from anytime_dspy.runtime.allowance import Allowance
from anytime_dspy.runtime.answer_size import check_answer_size
from anytime_dspy.runtime.generation import LMRequest, Message, MessageWriter
from anytime_dspy.runtime.sending import asend, send, tokens_beyond_cap
from anytime_dspy.runtime.streaming import StreamFilter
from anytime_dspy.runtime.tape import Recorded, Replay, call_key
from anytime_dspy.runtime.tracker import BudgetTracker
from anytime_dspy.runtime.truncation import Truncated, truncate

__all__ = ["BudgetAdapter"]


class _ExpectedTruncation(logging.Filter):
    """Keeps DSPy from warning of each answer that was cut off where a budget means it to be."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (isinstance(dspy.settings.adapter, BudgetAdapter) and "truncated" in str(record.msg))


logging.getLogger("dspy.clients.lm").addFilter(_ExpectedTruncation())


@dataclass(frozen=True)
class _TapedCall:
    """What the tape holds of a call: nothing where there is no tape, or where the call was never made."""

    key: Hashable = None
    recorded: Recorded[Message] | None = None

    @property
    def place(self) -> int | None:
        return self.recorded.place if self.recorded else None


@dataclass(frozen=True)
class _Answer:
    """The answer that a call ends with.

    Attributes:
        values: The output fields; those that could not be read are None or empty.
        unread: Their names.
        censored: Whether it was cut off before it was complete.
    """

    values: dict[str, Any]
    unread: tuple[str, ...] = ()
    censored: bool = False


_NOTHING = Truncated(None, "", "", 0, 0, cut=True)


class BudgetAdapter(dspy.Adapter):
    """Runs an inner adapter's calls under a budget of reasoning tokens.

    A call may write what is left of the budget plus its answer allowance. Where that did not end in an answer, its
    reasoning is cut to the budget and the answer is asked for alone. Used by `anytime_dspy.budget`, which sets it in a
    `dspy.context`.

    Args:
        inner: The adapter whose format the program uses.
        tracker: What was spent so far; every call is added to it.
        replay: Where given, calls are read from this tape, and only missing ones are made.
    """

    def __new__(cls, inner: dspy.Adapter | None = None, *args: Any, **kwargs: Any) -> BudgetAdapter:
        """Makes an adapter that is also of the inner one's class, by whose name DSPy's listeners know its format."""
        kind: Any = cls
        if cls is BudgetAdapter and inner is not None:
            kind = _class_for(cast(Any, type(inner)))
        made: BudgetAdapter = super().__new__(kind)
        return made

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Keeps DSPy from telling its callbacks of each format and parse once more for each class."""

    def __init__(
        self, inner: dspy.Adapter | None = None, tracker: BudgetTracker | None = None, replay: Replay | None = None
    ) -> None:
        if inner is None or tracker is None:
            # dspy.Refine makes one more of whatever adapter is in use: that one belongs to the same budget.
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
        """Answers one predictor's call under the budget; DSPy calls this."""
        call = PredictorCall(lm, lm_kwargs, signature, demos, inputs)
        taped = self._look_up(call)
        plan = self._plan(call, taped)
        completion: Completion | None = None
        gate = StreamFilter(self.inner, call, self.tracker.answer_tokens)
        with self._slot(taped):
            while True:
                try:
                    lm_request = plan.send(completion)  # the first one is None, as generators want
                except StopIteration as end:
                    gate.send_now(gate.accepted())
                    return [end.value]
                with gate.passing(lm_request):
                    completion = send(self.inner, lm_request)
                gate.send_now(gate.ended())

    async def acall(
        self,
        lm: Any,
        lm_kwargs: dict[str, Any],
        signature: type[dspy.Signature],
        demos: list[Any],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        """Answers one predictor's call under the budget, asynchronously; DSPy calls this."""
        call = PredictorCall(lm, lm_kwargs, signature, demos, inputs)
        taped = self._look_up(call)
        plan = self._plan(call, taped)
        completion: Completion | None = None
        gate = StreamFilter(self.inner, call, self.tracker.answer_tokens)
        async with self._slot_async(taped):
            while True:
                try:
                    lm_request = plan.send(completion)
                except StopIteration as end:
                    await gate.asend(gate.accepted())
                    return [end.value]
                with gate.passing(lm_request):
                    completion = await asend(self.inner, lm_request)
                await gate.asend(gate.ended())

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
        key = call_key(**vars(call))
        return _TapedCall(key, self.replay.calls.next(key))

    def _slot(self, taped: _TapedCall) -> AbstractContextManager[None]:
        slot = self.tracker.order.slot()
        return slot if self.replay is None else _replaying(self.replay, taped, slot)

    def _slot_async(self, taped: _TapedCall) -> AbstractAsyncContextManager[None]:
        slot = self.tracker.order.slot()
        return slot if self.replay is None else _replaying_async(self.replay, taped, slot)

    def _plan(self, call: PredictorCall, taped: _TapedCall) -> Generator[LMRequest, Completion | None, dict[str, Any]]:
        """What a call does, step by step; the driver makes each call asked for, with or without `await`."""
        _check(call)
        counter = counter_for(call.lm)
        check_answer_size(self.inner, call, counter, self.tracker.answer_tokens)
        recorded = taped.recorded.value if taped.recorded else None
        writer = MessageWriter(self.inner, call, self.tracker, counter)
        message = yield from writer.write(recorded)
        truncated, usage, replayed, reasoning = _NOTHING, Usage(), None, 0
        exhausting = True
        if message is not None:
            self._keep(call, taped, message)
            reasoning = int(min(self.tracker.left(paid=recorded is not None).tokens, message.allowed.reasoning))
            truncated, usage = self._truncated(call, message, reasoning)
            exhausting = truncated.shortened or (
                truncated.cut and not self._is_capped_by_user(call, message, reasoning)
            )
            if recorded is not None and message.goes_on_from(recorded):
                paid = int(min(reasoning, recorded.allowed.reasoning))
                is_all_paid = message.written is recorded.written and paid == reasoning
                replayed = usage if is_all_paid else self._truncated(call, recorded, paid)[1]
        values, answer_tokens = truncated.values, truncated.answer_tokens
        if values is None and not reasoning:
            values = last_step(call.signature)
        if values is not None:
            given = _Answer(values, censored=truncated.censored)
        else:
            key = taped.key, truncated.begun, truncated.reasoning, self.tracker.answer_tokens
            is_live = message is not None and (recorded is None or message.written is not recorded.written)
            known = self.replay.answers.next(key) if self.replay and not is_live else None
            written = message.written if message else None
            continues = can_continue(self.inner, call, written)
            answer = known.value if known else None
            while answer is None:  # an LM that turns out not to go on with a message is asked in the other way
                continues = can_continue(self.inner, call, written)
                answer = yield from writer.send(
                    self._answer_request(call, taped, truncated, written, continues=continues)
                )
            if self.replay and not known:
                self.replay.answers.add(key, answer)
            given = self._read_answer(call, truncated.reasoning, answer, continues=continues)
            answer_tokens = _answer_length(self.inner, call.signature, answer, counter)
            extra = _usage(answer, 0, answer_tokens + answer.beyond, answer.hidden_tokens)
            usage += extra
            replayed = (replayed or Usage()) + extra if known else replayed
        finished = Call(
            predictor=_caller_name(self.tracker.names, call.signature),
            inputs=dict(call.inputs),
            outputs=given.values,
            reasoning=truncated.reasoning,
            reasoning_tokens=truncated.reasoning_tokens,
            answer_tokens=answer_tokens,
            forced=truncated.values is None,
            answered=not given.unread,
            censored=given.censored,
            unread=given.unread,
        )
        self.tracker.record(finished, usage, cut=truncated.cut, exhausting=exhausting, replayed=replayed)
        if self.replay and self.tracker.exhausted:
            self.replay.order.abandon()  # nothing is left whose order could matter, and the program may go elsewhere
        return given.values

    def _keep(self, call: PredictorCall, taped: _TapedCall, message: Message) -> None:
        if self.replay is None:
            return
        check_thinking_shown(call.lm, message.written, counter_for(call.lm))
        if taped.recorded is None:
            self.replay.calls.add(taped.key, message)
        elif message is not taped.recorded.value:
            self.replay.calls.replace(taped.key, taped.recorded, message)

    def _truncated(self, call: PredictorCall, message: Message, reasoning: int) -> tuple[Truncated, Usage]:
        """What a message comes to where so many tokens of reasoning count, and what it cost."""
        allowed = Allowance(reasoning, self.tracker.answer_tokens)
        written, counter = message.written, counter_for(call.lm)
        truncated = truncate(self.inner, call.signature, written, allowed, counter)
        billed = truncated.answer_tokens + tokens_beyond_cap(call, written, allowed.cap, counter)
        return truncated, _usage(written, truncated.reasoning_tokens, billed, calls=message.calls)

    def _is_capped_by_user(self, call: PredictorCall, message: Message, reasoning: int) -> bool:
        """Whether a cap of the user's own, lower than the budget allows, has the message end where it does."""
        allowed = min(message.allowed.cap, reasoning + self.tracker.answer_tokens)
        return effective_cap(call, allowed) < allowed

    def _answer_request(
        self,
        call: PredictorCall,
        taped: _TapedCall,
        truncated: Truncated,
        written: Completion | None,
        *,
        continues: bool,
    ) -> LMRequest:
        asked = with_answer_options(call, self.tracker.answer_tokens, written)
        if not continues:
            return LMRequest(restated_call(asked, truncated.reasoning))
        if self.replay is None:
            return LMRequest(asked, continue_request(self.inner, asked, truncated.begun))
        last = self.replay.answer_requests.get(taped.key)
        is_like = last and last.call.lm is asked.lm and last.call.lm_kwargs == asked.lm_kwargs
        like = last.prefilled if last and is_like else None
        lm_request = LMRequest(asked, continue_request(self.inner, asked, truncated.begun, like))
        self.replay.answer_requests[taped.key] = lm_request
        return lm_request

    def _read_answer(self, call: PredictorCall, reasoning: str, completion: Completion, *, continues: bool) -> _Answer:
        """What could be read of a forced answer."""
        answers, signature = completion.values, answer_signature(call.signature)
        said = split_thinking(completion.text)
        text = said.rest
        if continues or said.thinking or completion.truncated:  # half a mark may stand at a cut
            field = formats.answer_fields(signature)[0]
            header = formats.opening(self.inner, field)
            # Some servers begin a reply anew.
            if continues and header and not formats.begins_field(self.inner, signature, field, text):
                text = f"{header}{text}"
            try:
                answers = self.inner.parse(signature, text[: formats.completion_end(self.inner, signature, text)])
            except AdapterParseError:
                answers = None
        cut = completion.truncated and not formats.is_complete(self.inner, signature, text)
        text = text[: formats.completion_end(self.inner, signature, text)]
        known = {**formats.reasoning_value(call.signature, reasoning), **(answers or {})}
        return _Answer(
            values={name: known.get(name) for name in call.signature.output_fields},
            unread=unread(self.inner, call.signature, answers or {}, text, cut=cut),
            censored=cut,
        )


@contextmanager
def _replaying(replay: Replay, taped: _TapedCall, slot: AbstractContextManager[None]) -> Iterator[None]:
    with replay.order.slot(taped.place), slot, replay.refusing():
        yield


@asynccontextmanager
async def _replaying_async(
    replay: Replay, taped: _TapedCall, slot: AbstractAsyncContextManager[None]
) -> AsyncIterator[None]:
    async with replay.order.slot(taped.place), slot:
        with replay.refusing():
            yield


@lru_cache(maxsize=64)
def _class_for(kind: Any) -> type[BudgetAdapter]:
    return type(kind.__name__, (BudgetAdapter, kind), {"__module__": kind.__module__, "__doc__": BudgetAdapter.__doc__})


def _check(call: PredictorCall) -> None:
    options = {**call.lm.kwargs, **call.lm_kwargs}
    if (options.get("n") or options.get("num_generations") or 1) > 1:
        raise ProgramError("A budget covers one completion a call: leave out n > 1, or call the program several times.")
    # An engine that names no options takes what comes.
    known = getattr(getattr(call.lm, "engine", None), "supported_params", None)
    if known and not {"max_tokens", "max_completion_tokens"} & set(known):
        raise ModelError(
            f"{call.lm.model} takes no max_tokens, so that nothing caps what it writes: use another LM, or name "
            "max_tokens in its engine's supported_params if the engine does obey it."
        )


def _without_fallback(adapter: dspy.Adapter) -> dspy.Adapter:
    """Returns the adapter without its second try in JSON, which would write outside the budget."""
    if isinstance(adapter, dspy.TwoStepAdapter):
        raise ProgramError(
            "dspy.TwoStepAdapter asks a second LM that no budget reaches: use ChatAdapter, JSONAdapter or XMLAdapter."
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


def _answer_length(
    adapter: dspy.Adapter, signature: type[dspy.Signature], completion: Completion, counter: TokenCounter
) -> int:
    end = formats.completion_end(adapter, answer_signature(signature), completion.text)
    return counter.count(completion.text[:end])


def _caller_name(names: Mapping[int, str], signature: type[dspy.Signature]) -> str:
    callers = dspy.settings.caller_modules or ()
    return names.get(id(callers[-1]), signature.__name__) if callers else signature.__name__
