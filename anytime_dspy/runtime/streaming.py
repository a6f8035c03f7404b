"""DSPy's streaming under a budget: only text that counts is passed on, and a forced answer is streamed as a field.

DSPy's stream listeners recognise a field by its header in the chunks of `dspy.settings.send_stream`. Under a budget a
message may run past its budget, its answer may be dropped, and the header of a forced answer may be in the prompt.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import anyio
import dspy

from anytime_dspy.calls import formats
from anytime_dspy.calls.predictor_call import PredictorCall
from anytime_dspy.calls.thinking import joined_trace, split_thinking
from anytime_dspy.calls.tokens import counter_for
from anytime_dspy.runtime.allowance import Allowance
from anytime_dspy.runtime.generation import LMRequest

__all__ = ["StreamFilter"]


class StreamFilter:
    """Filters the chunks of a predictor's call, if anything listens to it.

    Reasoning is passed on as it comes, up to the budget. An answer is passed on as it comes if it is sure to have its
    whole allowance, and otherwise once it is known to count.

    Args:
        adapter: The inner adapter.
        call: The predictor's call.
        answer_tokens: The most tokens of the answer.
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

    def filtering(self, request: LMRequest) -> AbstractContextManager[Any]:
        """Returns a context in which the chunks of an LM call are filtered."""
        if self._stream is None:
            return nullcontext()
        self._allowed, self._header, self._last = request.allowed, None, None
        if request.allowed is None:
            self._held = []  # the answer is forced: the one that was held back does not count
            if request.prefilled is not None:
                self._header = formats.opening(self._adapter, formats.answer_fields(request.call.signature)[0])
        elif len(request.begun) >= len(self._text) or not request.begun:
            self._text, self._thinking = request.begun, ""
            self._is_open, self._is_sure, self._is_answering, self._held = True, False, False, []
        context: AbstractContextManager[Any] = dspy.context(send_stream=self)
        return context

    async def send(self, chunk: Any) -> None:
        """Takes a chunk from the LM; called by DSPy."""
        text = _text(chunk)
        if text and self._header is not None:
            if self._last is None:
                # A listener needs the header in a chunk of its own.
                await self._stream.send(_with_text(chunk, self._header))
            self._last = chunk
        if self._allowed is None or self._counts(chunk, text, self._allowed):
            await self._stream.send(chunk)

    def ended(self) -> list[Any]:
        """Returns the chunks to send after an LM call: the end mark of an answer whose header was added."""
        return [_with_text(self._last, f"\n\n{formats.CHAT_END}")] if self._last is not None else []

    def accepted(self) -> list[Any]:
        """Returns the chunks to send once the message is known to count: those that were held back."""
        return self._held

    async def pass_on(self, chunks: Iterable[Any], *, waits: bool) -> None:
        """Sends chunks; unless `waits`, from the thread of a synchronous program."""
        for chunk in chunks:
            await self._stream.send(chunk) if waits else anyio.from_thread.run(self._stream.send, chunk)

    def _counts(self, chunk: Any, text: str, allowed: Allowance) -> bool:
        """Whether a chunk of the message may be passed on now."""
        thinking = _part(chunk, "reasoning_content")
        if not text and not thinking:
            return True
        self._text += text
        self._thinking += thinking
        if self._is_open and not self._is_sure:
            self._update(allowed)
        if self._is_open and not self._is_sure and self._is_answering:
            self._held.append(chunk)
            return False
        return self._is_open

    def _update(self, allowed: Allowance) -> None:
        """Decides by the text so far, as `truncate` will by the whole text."""
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
            self._is_sure = self._call.cap(allowed.cap) - used >= self._answer_tokens


def _delta(chunk: Any) -> Any:
    choices = getattr(chunk, "choices", None)
    return getattr(choices[0], "delta", None) if choices else None


def _part(chunk: Any, name: str) -> str:
    return getattr(_delta(chunk), name, None) or ""


def _text(chunk: Any) -> str:
    return _part(chunk, "content")


def _with_text(chunk: Any, text: str) -> Any:
    """Returns a copy of a chunk with another text."""
    twin = copy.deepcopy(chunk)
    delta = _delta(twin)
    if isinstance(delta, dict):
        delta["content"] = text
    else:
        delta.content = text
    return twin
