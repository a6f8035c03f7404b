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
from anytime_dspy.calls.completion import Completion, check_shown
from anytime_dspy.calls.forced_answer import (
    Question,
    answer_signature,
    can_continue,
    cap_of,
    continued,
    forced,
    restated,
)
from anytime_dspy.calls.signature_text import remembering
from anytime_dspy.calls.thinking import parted
from anytime_dspy.calls.tokens import TokenCounter, counter_for
from anytime_dspy.checkpoint import Call, Usage
from anytime_dspy.errors import ModelError, ProgramError
from anytime_dspy.runtime.allowance import Allowance
from anytime_dspy.runtime.answer_size import check_room
from anytime_dspy.runtime.generation import Ask, Message, Writer
from anytime_dspy.runtime.sending import asend, beyond_cap, send
from anytime_dspy.runtime.streaming import Gate
from anytime_dspy.runtime.tape import Recorded, Replay, call_key
from anytime_dspy.runtime.tracker import Spending
from anytime_dspy.runtime.truncation import Settled, settle

__all__ = ["BudgetAdapter"]


class _ExpectedTruncation(logging.Filter):
    """Keeps DSPy from warning of each answer that was cut off where a budget means it to be."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (isinstance(dspy.settings.adapter, BudgetAdapter) and "truncated" in str(record.msg))


logging.getLogger("dspy.clients.lm").addFilter(_ExpectedTruncation())


@dataclass(frozen=True)
class _Claim:
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


_NOTHING = Settled(None, "", "", 0, 0, cut=True)


class BudgetAdapter(dspy.Adapter):
    """Runs an inner adapter's calls under a budget of reasoning tokens.

    A call may write what is left of the budget plus its answer allowance. Where that did not end in an answer, its
    reasoning is cut to the budget and the answer is asked for alone. Used by `anytime_dspy.budget`, which sets it in a
    `dspy.context`.

    Args:
        inner: The adapter whose format the program uses.
        spending: What was spent so far; every call is added to it.
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
        self, inner: dspy.Adapter | None = None, spending: Spending | None = None, replay: Replay | None = None
    ) -> None:
        if inner is None or spending is None:
            # dspy.Refine makes one more of whatever adapter is in use: that one belongs to the same budget.
            self.__dict__.update(vars(dspy.settings.adapter))
            return
        self.__dict__.update(vars(inner))
        self.inner = _without_fallback(inner)
        self.spending = spending
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
        question = Question(lm, lm_kwargs, signature, demos, inputs)
        claim = self._claim(question)
        plan = self._plan(question, claim)
        completion: Completion | None = None
        gate = Gate(self.inner, question, self.spending.answer_tokens)
        with self._turn(claim):
            while True:
                try:
                    ask = plan.send(completion)  # the first one is None, as generators want
                except StopIteration as end:
                    gate.send_now(gate.accepted())
                    return [end.value]
                with gate.passing(ask):
                    completion = send(self.inner, ask)
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
        question = Question(lm, lm_kwargs, signature, demos, inputs)
        claim = self._claim(question)
        plan = self._plan(question, claim)
        completion: Completion | None = None
        gate = Gate(self.inner, question, self.spending.answer_tokens)
        async with self._turn_async(claim):
            while True:
                try:
                    ask = plan.send(completion)
                except StopIteration as end:
                    await gate.asend(gate.accepted())
                    return [end.value]
                with gate.passing(ask):
                    completion = await asend(self.inner, ask)
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

    def _claim(self, question: Question) -> _Claim:
        if self.replay is None:
            return _Claim()
        key = call_key(**vars(question))
        return _Claim(key, self.replay.calls.next(key))

    def _turn(self, claim: _Claim) -> AbstractContextManager[None]:
        turn = self.spending.turns.take()
        return turn if self.replay is None else _replaying(self.replay, claim, turn)

    def _turn_async(self, claim: _Claim) -> AbstractAsyncContextManager[None]:
        turn = self.spending.turns.take()
        return turn if self.replay is None else _replaying_async(self.replay, claim, turn)

    def _plan(self, question: Question, claim: _Claim) -> Generator[Ask, Completion | None, dict[str, Any]]:
        """What a call does, step by step; the driver makes each call asked for, with or without `await`."""
        _check(question)
        counter = counter_for(question.lm)
        check_room(self.inner, question, counter, self.spending.answer_tokens)
        recorded = claim.recorded.value if claim.recorded else None
        writer = Writer(self.inner, question, self.spending, counter)
        message = yield from writer.write(recorded)
        settled, usage, replayed, reasoning = _NOTHING, Usage(), None, 0
        exhausting = True
        if message is not None:
            self._keep(question, claim, message)
            reasoning = int(min(self.spending.left(paid=recorded is not None).tokens, message.allowed.reasoning))
            settled, usage = self._settled(question, message, reasoning)
            exhausting = settled.shortened or (
                settled.cut and not self._is_capped_by_user(question, message, reasoning)
            )
            if recorded is not None and message.goes_on_from(recorded):
                paid = int(min(reasoning, recorded.allowed.reasoning))
                is_all_paid = message.written is recorded.written and paid == reasoning
                replayed = usage if is_all_paid else self._settled(question, recorded, paid)[1]
        values, answer_tokens = settled.values, settled.answer_tokens
        if values is None and not reasoning:
            values = last_step(question.signature)
        if values is not None:
            given = _Answer(values, censored=settled.censored)
        else:
            key = claim.key, settled.begun, settled.reasoning, self.spending.answer_tokens
            is_live = message is not None and (recorded is None or message.written is not recorded.written)
            known = self.replay.forced.next(key) if self.replay and not is_live else None
            written = message.written if message else None
            continues = can_continue(self.inner, question, written)
            answer = known.value if known else None
            while answer is None:  # an LM that turns out not to go on with a message is asked in the other way
                continues = can_continue(self.inner, question, written)
                answer = yield from writer.ask(self._forced(question, claim, settled, written, continues=continues))
            if self.replay and not known:
                self.replay.forced.add(key, answer)
            given = self._given(question, settled.reasoning, answer, continues=continues)
            answer_tokens = _written(self.inner, question.signature, answer, counter)
            extra = _usage(answer, 0, answer_tokens + answer.beyond, answer.hidden_tokens)
            usage += extra
            replayed = (replayed or Usage()) + extra if known else replayed
        call = Call(
            predictor=_caller_name(self.spending.names, question.signature),
            inputs=dict(question.inputs),
            outputs=given.values,
            reasoning=settled.reasoning,
            reasoning_tokens=settled.reasoning_tokens,
            answer_tokens=answer_tokens,
            forced=settled.values is None,
            answered=not given.unread,
            censored=given.censored,
            unread=given.unread,
        )
        self.spending.record(call, usage, cut=settled.cut, exhausting=exhausting, replayed=replayed)
        if self.replay and self.spending.exhausted:
            self.replay.turns.disorder()  # nothing is left whose order could matter, and the program may go elsewhere
        return given.values

    def _keep(self, question: Question, claim: _Claim, message: Message) -> None:
        if self.replay is None:
            return
        check_shown(question.lm, message.written, counter_for(question.lm))
        if claim.recorded is None:
            self.replay.calls.add(claim.key, message)
        elif message is not claim.recorded.value:
            self.replay.calls.replace(claim.key, claim.recorded, message)

    def _settled(self, question: Question, message: Message, reasoning: int) -> tuple[Settled, Usage]:
        """What a message comes to where so many tokens of reasoning count, and what it cost."""
        allowed = Allowance(reasoning, self.spending.answer_tokens)
        written, counter = message.written, counter_for(question.lm)
        settled = settle(self.inner, question.signature, written, allowed, counter)
        billed = settled.answer_tokens + beyond_cap(question, written, allowed.cap, counter)
        return settled, _usage(written, settled.reasoning_tokens, billed, calls=message.calls)

    def _is_capped_by_user(self, question: Question, message: Message, reasoning: int) -> bool:
        """Whether a cap of the user's own, lower than the budget allows, has the message end where it does."""
        allowed = min(message.allowed.cap, reasoning + self.spending.answer_tokens)
        return cap_of(question, allowed) < allowed

    def _forced(
        self, question: Question, claim: _Claim, settled: Settled, written: Completion | None, *, continues: bool
    ) -> Ask:
        asked = forced(question, self.spending.answer_tokens, written)
        if not continues:
            return Ask(restated(asked, settled.reasoning))
        if self.replay is None:
            return Ask(asked, continued(self.inner, asked, settled.begun))
        last = self.replay.asked.get(claim.key)
        is_like = last and last.question.lm is asked.lm and last.question.lm_kwargs == asked.lm_kwargs
        like = last.request if last and is_like else None
        ask = Ask(asked, continued(self.inner, asked, settled.begun, like))
        self.replay.asked[claim.key] = ask
        return ask

    def _given(self, question: Question, reasoning: str, completion: Completion, *, continues: bool) -> _Answer:
        """What could be read of a forced answer."""
        answers, signature = completion.values, answer_signature(question.signature)
        said = parted(completion.text)
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
        known = {**formats.reasoning_value(question.signature, reasoning), **(answers or {})}
        return _Answer(
            values={name: known.get(name) for name in question.signature.output_fields},
            unread=unread(self.inner, question.signature, answers or {}, text, cut=cut),
            censored=cut,
        )


@contextmanager
def _replaying(replay: Replay, claim: _Claim, turn: AbstractContextManager[None]) -> Iterator[None]:
    with replay.turns.take(claim.place), turn, replay.refusing():
        yield


@asynccontextmanager
async def _replaying_async(
    replay: Replay, claim: _Claim, turn: AbstractAsyncContextManager[None]
) -> AsyncIterator[None]:
    async with replay.turns.take(claim.place), turn:
        with replay.refusing():
            yield


@lru_cache(maxsize=64)
def _class_for(kind: Any) -> type[BudgetAdapter]:
    return type(kind.__name__, (BudgetAdapter, kind), {"__module__": kind.__module__, "__doc__": BudgetAdapter.__doc__})


def _check(question: Question) -> None:
    options = {**question.lm.kwargs, **question.lm_kwargs}
    if (options.get("n") or options.get("num_generations") or 1) > 1:
        raise ProgramError("A budget covers one completion a call: leave out n > 1, or call the program several times.")
    # An engine that names no options takes what comes.
    known = getattr(getattr(question.lm, "engine", None), "supported_params", None)
    if known and not {"max_tokens", "max_completion_tokens"} & set(known):
        raise ModelError(
            f"{question.lm.model} takes no max_tokens, so that nothing caps what it writes: use another LM, or name "
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


def _written(
    adapter: dspy.Adapter, signature: type[dspy.Signature], completion: Completion, counter: TokenCounter
) -> int:
    end = formats.completion_end(adapter, answer_signature(signature), completion.text)
    return counter.count(completion.text[:end])


def _caller_name(names: Mapping[int, str], signature: type[dspy.Signature]) -> str:
    callers = dspy.settings.caller_modules or ()
    return names.get(id(callers[-1]), signature.__name__) if callers else signature.__name__
