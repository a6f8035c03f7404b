"""The adapter that enforces a budget: the one place through which every call of a program goes."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import AsyncIterator, Generator, Hashable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import dspy
from dspy.lm15 import Request
from dspy.utils.exceptions import AdapterParseError

from anytime_dspy import formats
from anytime_dspy.agents import last_step
from anytime_dspy.call_log import enclosing_log, lasting_key
from anytime_dspy.checkpoint import Call, Usage
from anytime_dspy.errors import ProgramError
from anytime_dspy.forcing import Question, answer_signature, can_continue, capped, continued, forced, restated
from anytime_dspy.lm_calls import Completion, Ledger, recording, tell_of_replay
from anytime_dspy.settle import Settled, is_answered, settle
from anytime_dspy.spending import Spending
from anytime_dspy.tape import Recorded, Replay, call_key
from anytime_dspy.tokens import TokenCounter, counter_for

__all__ = ["BudgetAdapter"]


class _ExpectedTruncation(logging.Filter):
    """Keeps DSPy from warning of each answer that was cut off where a budget means it to be."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (isinstance(dspy.settings.adapter, BudgetAdapter) and "truncated" in str(record.msg))


logging.getLogger("dspy.clients.lm").addFilter(_ExpectedTruncation())


@dataclass(frozen=True)
class _Ask:
    """A call to be made: the inner adapter's own, or a request of ours to the LM itself."""

    question: Question
    request: Request | None = None


@dataclass(frozen=True)
class _Claim:
    """What the tape holds of a call: nothing where there is no tape, or where the call was never made."""

    key: Hashable = None
    recorded: Recorded[Completion] | None = None

    @property
    def place(self) -> int | None:
        return self.recorded.place if self.recorded else None


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

    def __init__(
        self, inner: dspy.Adapter | None = None, spending: Spending | None = None, replay: Replay | None = None
    ) -> None:
        if inner is None or spending is None:
            # dspy.Refine makes one more of whatever adapter is in use: that one belongs to the same budget.
            self.__dict__.update(vars(dspy.settings.adapter))
            return
        super().__init__(callbacks=inner.callbacks)
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
        with self._turn(claim):
            while True:
                try:
                    ask = plan.send(completion)  # type: ignore[arg-type]  # the first one is None, as generators want
                except StopIteration as end:
                    return [end.value]
                completion = self._make(ask)

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
        async with self._turn_async(claim):
            while True:
                try:
                    ask = plan.send(completion)  # type: ignore[arg-type]
                except StopIteration as end:
                    return [end.value]
                completion = await self._amake(ask)

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

    @contextmanager
    def _turn(self, claim: _Claim) -> Iterator[None]:
        if self.replay is None:
            with self.spending.turns.take():
                yield
        else:
            with self.replay.turns.take(claim.place), self.spending.turns.take():
                yield

    @asynccontextmanager
    async def _turn_async(self, claim: _Claim) -> AsyncIterator[None]:
        if self.replay is None:
            async with self.spending.turns.take_async():
                yield
        else:
            async with self.replay.turns.take_async(claim.place), self.spending.turns.take_async():
                yield

    def _plan(self, question: Question, claim: _Claim) -> Generator[_Ask, Completion, dict[str, Any]]:
        """What a call does, step by step; the driver makes each call asked for, with or without `await`."""
        _check(question)
        allowance = self.spending.allowance(paid=claim.recorded is not None)
        counter = counter_for(question.lm)
        settled = Settled(None, "", "", 0, 0, cut=True)
        usage, replayed, is_live = Usage(), None, False
        # With nothing left to reason with, only an answer is asked for.
        if allowance.reasoning or not formats.reasoning_fields(question.signature):
            if claim.recorded:
                completion = claim.recorded.value
                tell_of_replay()
            else:
                completion = yield from self._completion(_Ask(_with_options(question, capped(question, allowance.cap))))
                is_live = True
                if self.replay:
                    self.replay.calls.add(claim.key, completion)
            settled = settle(self.inner, question.signature, completion, allowance, counter)
            usage = _usage(completion, settled.reasoning_tokens, settled.answer_tokens)
            replayed = usage if claim.recorded else None
        values, answer_tokens = settled.values, settled.answer_tokens
        if values is None and not allowance.reasoning:
            values = last_step(question.signature)
        if values is None:
            key = claim.key, settled.begun, settled.reasoning, allowance.answer
            known = self.replay.forced.next(key) if self.replay and not is_live else None
            if known:
                completion = known.value
            else:
                completion = yield from self._completion(self._forced(question, settled, allowance.answer))
                if self.replay:
                    self.replay.forced.add(key, completion)
            values = self._forced_values(question, settled.reasoning, completion)
            answer_tokens = _written(self.inner, completion, counter)
            extra = _usage(completion, 0, answer_tokens, completion.hidden_tokens)
            usage += extra
            replayed = (replayed or Usage()) + extra if known else replayed
        call = Call(
            predictor=_caller_name(self.spending.names, question.signature),
            inputs=dict(question.inputs),
            outputs=values,
            reasoning=settled.reasoning,
            reasoning_tokens=settled.reasoning_tokens,
            answer_tokens=answer_tokens,
            forced=settled.values is None,
            answered=is_answered(question.signature, values),
        )
        self.spending.record(call, usage, cut=settled.cut, replayed=replayed)
        if self.replay and self.spending.cut:
            self.replay.turns.disorder()  # nothing is left whose order could matter, and the program may go elsewhere
        return values

    def _forced(self, question: Question, settled: Settled, answer_tokens: int) -> _Ask:
        asked = forced(question, answer_tokens)
        if can_continue(self.inner, question):
            return _Ask(asked, continued(self.inner, asked, settled.begun))
        return _Ask(restated(asked, settled.reasoning))

    def _completion(self, ask: _Ask) -> Generator[_Ask, Completion, Completion]:
        """Has a call made, unless a log of this run's calls holds it."""
        log = enclosing_log()
        if log is None:
            return (yield ask)
        key = lasting_key(self.inner, ask.question, ask.request)
        completion = log.get(key, ask.question.signature)
        if completion is None:
            completion = yield ask
            log.add(key, completion)
        else:
            tell_of_replay()
        return completion

    def _forced_values(self, question: Question, reasoning: str, completion: Completion) -> dict[str, Any]:
        answers = completion.values
        if answers is None and can_continue(self.inner, question):
            header = formats.opening(self.inner, formats.answer_fields(question.signature)[0])
            try:
                text = completion.text[: formats.completion_end(self.inner, completion.text)]
                answers = self.inner.parse(answer_signature(question.signature), f"{header}{text}")
            except AdapterParseError:
                answers = None
        known = {**formats.reasoning_value(question.signature, reasoning), **(answers or {})}
        return {name: known.get(name) for name in question.signature.output_fields}

    def _make(self, ask: _Ask) -> Completion:
        ledger, begun, values = Ledger(), time.perf_counter(), None
        with recording(ledger):
            if ask.request is not None:
                ask.question.lm(ask.request, **_execution_options(ask.question))
            else:
                try:
                    values = self.inner(**_arguments(ask.question))[0]
                except AdapterParseError:
                    values = None  # cut off or malformed: what was written is in the ledger
        return ledger.completion(values, time.perf_counter() - begun, counter_for(ask.question.lm))

    async def _amake(self, ask: _Ask) -> Completion:
        ledger, begun, values = Ledger(), time.perf_counter(), None
        with recording(ledger):
            if ask.request is not None:
                await ask.question.lm.acall(ask.request, **_execution_options(ask.question))
            else:
                try:
                    values = (await self.inner.acall(**_arguments(ask.question)))[0]
                except AdapterParseError:
                    values = None
        return ledger.completion(values, time.perf_counter() - begun, counter_for(ask.question.lm))


def _check(question: Question) -> None:
    options = {**question.lm.kwargs, **question.lm_kwargs}
    if (options.get("n") or options.get("num_generations") or 1) > 1:
        raise ProgramError("A budget covers one completion a call: leave out n > 1, or call the program several times.")


def _without_fallback(adapter: dspy.Adapter) -> dspy.Adapter:
    """Returns the adapter without its second try in JSON, which would write outside the budget."""
    if isinstance(adapter, dspy.TwoStepAdapter):
        raise ProgramError(
            "dspy.TwoStepAdapter asks a second LM that no budget reaches: use ChatAdapter, JSONAdapter or XMLAdapter."
        )
    if not getattr(adapter, "use_json_adapter_fallback", False):
        return adapter
    adapter = copy.copy(adapter)
    adapter.use_json_adapter_fallback = False
    return adapter


def _with_options(question: Question, lm_kwargs: Mapping[str, Any]) -> Question:
    return Question(question.lm, lm_kwargs, question.signature, question.demos, question.inputs)


def _arguments(question: Question) -> dict[str, Any]:
    # The base adapter changes the options that it is given.
    return {**vars(question), "lm_kwargs": dict(question.lm_kwargs), "demos": list(question.demos)}


def _execution_options(question: Question) -> dict[str, Any]:
    options = {**question.lm.kwargs, **question.lm_kwargs}
    return {name: options[name] for name in ("rollout_id", "cache") if options.get(name) is not None}


def _usage(completion: Completion, reasoning_tokens: int, answer_tokens: int, hidden_tokens: int = 0) -> Usage:
    return Usage(
        prompt_tokens=completion.prompt_tokens,
        reasoning_tokens=reasoning_tokens,
        answer_tokens=answer_tokens,
        hidden_tokens=hidden_tokens,
        calls=1,
        seconds=completion.seconds,
        dollars=completion.dollars,
    )


def _written(adapter: dspy.Adapter, completion: Completion, counter: TokenCounter) -> int:
    return counter.count(completion.text[: formats.completion_end(adapter, completion.text)])


def _caller_name(names: Mapping[int, str], signature: type[dspy.Signature]) -> str:
    callers = dspy.settings.caller_modules or ()
    return names.get(id(callers[-1]), signature.__name__) if callers else signature.__name__
