"""DSPy's stream listeners under a budget: the chunks of a field are the field."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import dspy
import pytest
from dspy.lm15 import Request, StreamDeltaEvent, StreamEndEvent, StreamStartEvent, TextDelta, ThinkingDelta
from dspy.streaming import StreamListener

import anytime_dspy as ad
from anytime_dspy.testing import AsyncScriptedEngine, ScriptedEngine, chat, prefill_of, prompt_of, words

FORMATS = {"chat": dspy.ChatAdapter(), "json": dspy.JSONAdapter(), "xml": dspy.XMLAdapter()}


class StreamingEngine(ScriptedEngine):
    """A scripted engine that gives its replies in small pieces."""

    def stream(self, request: Request) -> Iterator[Any]:
        response = self.complete(request)
        yield StreamStartEvent(model=response.model)
        for part, message in enumerate(response.message.parts):
            kind = ThinkingDelta if message.type == "thinking" else TextDelta
            for piece in re.findall(r"\s*\w+|\s*[^\w\s]{1,2}|\s+", message.text):
                yield StreamDeltaEvent(kind(piece, part_index=part))
        yield StreamEndEvent(finish_reason=response.finish_reason, usage=response.usage)


class AsyncStreamingEngine(AsyncScriptedEngine):
    def __init__(self, engine: StreamingEngine) -> None:
        super().__init__(engine)
        self._streaming = engine

    async def stream(self, request: Request) -> AsyncIterator[Any]:
        for event in self._streaming.stream(request):
            await asyncio.sleep(0)
            yield event


def written(format: str, **fields: str) -> str:
    if format == "json":
        return "{" + ", ".join(f'"{name}": "{value}"' for name, value in fields.items()) + "}"
    if format == "xml":
        return "\n".join(f"<{name}>\n{value}\n</{name}>" for name, value in fields.items())
    return chat(**fields)


def streaming_lm(format: str, reasoning: int, answer: str, forced: str, **options: Any) -> dspy.LM:
    def reply(request: Request) -> str:
        if prefill_of(request) is not None:
            return forced
        if "partial_reasoning" in prompt_of(request):
            return written(format, answer=forced)
        return written(format, reasoning=words(reasoning), answer=answer)

    engine = StreamingEngine(reply, **options)
    return dspy.LM(f"stream/{id(engine)}", engine=engine, async_engine=AsyncStreamingEngine(engine), cache=False)


def heard(program: dspy.Module, lm: dspy.LM, *, field: str = "answer", is_async: bool = False) -> Any:
    """Returns what a listener hears of a field, chunk by chunk, and the prediction."""

    async def run() -> tuple[list[Any], dspy.Prediction]:
        listener = StreamListener(signature_field_name=field)
        chunks, prediction = [], None
        streaming = dspy.streamify(program, stream_listeners=[listener], is_async_program=is_async)
        async for value in streaming(question="?"):
            if isinstance(value, dspy.Prediction):
                prediction = value
            elif isinstance(value, dspy.streaming.StreamResponse):
                chunks.append(value)
        assert prediction is not None
        return chunks, prediction

    with dspy.context(lm=lm):
        return asyncio.run(run())


def text_of(chunks: list[Any]) -> str:
    return "".join(chunk.chunk for chunk in chunks).strip().strip('"')


LONG = words(30, "say")


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("reasoning", [10, 30, 60, 200])
@pytest.mark.parametrize("can_continue", [True, False])
def test_a_listener_hears_the_answer_under_a_budget(is_async, format, reasoning, can_continue):
    lm = streaming_lm(format, reasoning, LONG, words(12, "guess"), can_continue=can_continue)
    with dspy.context(adapter=FORMATS[format]), ad.budget(32, answer_tokens=48) as spent:
        chunks, prediction = heard(dspy.ChainOfThought("question -> answer"), lm, is_async=is_async)
    assert spent.forced == (reasoning > 32)
    assert prediction.answer == (words(12, "guess") if spent.forced else LONG)
    assert text_of(chunks) == prediction.answer
    assert len(chunks) > 3
    assert chunks[-1].is_last_chunk


@pytest.mark.parametrize("can_continue", [True, False])
@pytest.mark.parametrize("reasoning", [10, 60])
def test_a_listener_hears_the_answer_of_a_program_bound_to_a_budget(can_continue, reasoning):
    lm = streaming_lm("chat", reasoning, LONG, "guess", can_continue=can_continue)
    program = ad.Anytime(dspy.ChainOfThought("question -> answer"), (32,), answer_tokens=48).at(32)
    chunks, prediction = heard(program, lm)
    assert text_of(chunks) == prediction.answer == (LONG if reasoning == 10 else "guess")


def test_a_listener_hears_the_reasoning_up_to_the_budget():
    lm = streaming_lm("chat", 200, LONG, "guess")
    with ad.budget(32, answer_tokens=48):
        chunks, prediction = heard(dspy.ChainOfThought("question -> answer"), lm, field="reasoning")
    assert prediction.reasoning == words(32)
    said = text_of(chunks)
    assert words(32).startswith(said)
    assert len(said.split()) >= 31  # a piece of the chunk in which the budget ends may be lacking


def test_a_listener_hears_no_answer_that_does_not_count():
    # The answer was begun, and cut short: it is asked for again.
    lm = streaming_lm("chat", 30, words(60, "say"), "guess")
    with ad.budget(32, answer_tokens=40) as spent:
        chunks, prediction = heard(dspy.ChainOfThought("question -> answer"), lm)
    assert (spent.forced, prediction.answer, text_of(chunks)) == (True, "guess", "guess")


def test_a_listener_hears_the_largest_budgets_answer_of_a_sweep():
    lm = streaming_lm("chat", 60, LONG, "guess")
    chunks, prediction = heard(ad.Anytime(dspy.ChainOfThought("question -> answer"), (16, 32, 80)), lm)
    assert [checkpoint.prediction.answer for checkpoint in prediction.checkpoints] == ["guess", "guess", LONG]
    assert text_of(chunks) == LONG


def test_a_budget_passes_for_the_adapter_inside_it():
    with ad.budget(8):
        assert isinstance(dspy.settings.adapter, dspy.ChatAdapter)
        assert type(dspy.settings.adapter).__name__ == "ChatAdapter"
    with dspy.context(adapter=dspy.JSONAdapter()), ad.budget(8), ad.budget(4):
        assert isinstance(dspy.settings.adapter, dspy.JSONAdapter)
