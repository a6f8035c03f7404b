"""DSPy's streaming under a budget: what counts is passed on, and an answer that is forced is streamed as a field.

DSPy's listeners find a field by its header in the chunks of `dspy.settings.send_stream`. Under a budget a message may
go on after its budget, its answer may not count, and the header of a forced answer may stand in the prompt. All that
knows of this is here.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import anyio
import dspy

from anytime_dspy.calls import formats
from anytime_dspy.calls.forced_answer import PredictorCall, effective_cap
from anytime_dspy.calls.thinking import joined_trace, split_thinking
from anytime_dspy.calls.tokens import counter_for
from anytime_dspy.runtime.allowance import Allowance
from anytime_dspy.runtime.generation import LMRequest

__all__ = ["StreamFilter"]


class StreamFilter:
    """Stands before the stream that a predictor's call is heard on, where there is one.

    Reasoning is passed on as it comes, up to the budget; an answer as it comes where it is sure to have its whole
    allowance, else once it is known to count.

    Args:
        adapter: The inner adapter.
        call: What the predictor asks.
        answer_tokens: Tokens that the answer may take.
    """

    def __init__(self, adapter: dspy.Adapter, call: PredictorCall, answer_tokens: int) -> None:
        self._stream: Any = dspy.settings.send_stream
        self._adapter = adapter
        self._call = call
        self._answer_tokens = answer_tokens
        self._allowed: Allowance | None = None
        self._text = self._thinking = ""
        self._header: str | None = None
        self._is_open = self._is_sure = True
        self._is_answering = False
        self._held: list[Any] = []
        self._last: Any = None

    def passing(self, lm_request: LMRequest) -> AbstractContextManager[Any]:
        """Returns a context in which the chunks of a call come through here."""
        if self._stream is None:
            return nullcontext()
        self._allowed, self._header, self._last = lm_request.allowed, None, None
        if lm_request.allowed is None:
            self._held = []  # an answer is asked for anew: what was held back does not count
            if lm_request.prefilled is not None:
                self._header = formats.opening(self._adapter, formats.answer_fields(lm_request.call.signature)[0])
        elif len(lm_request.begun) >= len(self._text) or not lm_request.begun:
            self._text, self._thinking = lm_request.begun, ""
            self._is_open, self._is_sure, self._is_answering, self._held = True, False, False, []
        scene: AbstractContextManager[Any] = dspy.context(send_stream=self)
        return scene

    async def send(self, chunk: Any) -> None:
        """Takes a chunk from the LM; DSPy calls this."""
        text = _text(chunk)
        if text and self._header is not None:
            if self._last is None:
                # A listener needs the header in a chunk of its own.
                await self._stream.send(_saying(chunk, self._header))
            self._last = chunk
        if self._allowed is None or self._counts(chunk, text, self._allowed):
            await self._stream.send(chunk)

    def ended(self) -> list[Any]:
        """Returns what is to be sent after a call: the end of an answer whose header was added."""
        return [_saying(self._last, f"\n\n{formats.CHAT_END}")] if self._last is not None else []

    def accepted(self) -> list[Any]:
        """Returns what is to be sent once the message is known to count: what was held back of it."""
        return self._held

    def send_now(self, chunks: Iterable[Any]) -> None:
        """Sends chunks from the thread of a program that is not asynchronous."""
        for chunk in chunks:
            anyio.from_thread.run(self._stream.send, chunk)

    async def asend(self, chunks: Iterable[Any]) -> None:
        """Sends chunks."""
        for chunk in chunks:
            await self._stream.send(chunk)

    def _counts(self, chunk: Any, text: str, allowed: Allowance) -> bool:
        """Whether a chunk of the message may be passed on now."""
        thinking = _part(chunk, "reasoning_content")
        if not text and not thinking:
            return True
        self._text += text
        self._thinking += thinking
        if self._is_open and not self._is_sure:
            self._weigh(allowed)
        if self._is_open and not self._is_sure and self._is_answering:
            self._held.append(chunk)
            return False
        return self._is_open

    def _weigh(self, allowed: Allowance) -> None:
        """Decides by what was written so far, as `settle` will by all of it."""
        signature, counter = self._call.signature, counter_for(self._call.lm)
        inline = split_thinking(self._text)
        split = formats.split(self._adapter, signature, inline.rest)
        self._is_answering = split.answer_at is not None
        if formats.reasoning_fields(signature):
            trace = joined_trace(inline.thinking or self._thinking, split.reasoning)
            self._is_open = counter.count(trace) <= allowed.reasoning
        if split.answer_at is not None:
            before = self._text[: len(self._text) - len(inline.rest) + split.answer_at]
            used = counter.count(before) + counter.count(self._thinking)
            self._is_sure = effective_cap(self._call, allowed.cap) - used >= self._answer_tokens


def _delta(chunk: Any) -> Any:
    choices = getattr(chunk, "choices", None)
    return getattr(choices[0], "delta", None) if choices else None


def _part(chunk: Any, name: str) -> str:
    return getattr(_delta(chunk), name, None) or ""


def _text(chunk: Any) -> str:
    return _part(chunk, "content")


def _saying(chunk: Any, text: str) -> Any:
    """Returns a chunk like another, with another text."""
    twin = copy.deepcopy(chunk)
    delta = _delta(twin)
    if isinstance(delta, dict):
        delta["content"] = text
    else:
        delta.content = text
    return twin
