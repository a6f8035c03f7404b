"""An engine that says what a test tells it to, and otherwise behaves as a real one does."""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import dspy
from dspy.lm15 import LM15Error, Message, Request, Response, TextPart, ThinkingPart, Usage

from anytime_dspy.calls.formats import CHAT_END
from tests.fakes.prompts import is_forced, prefill_of, prompt_of, question_of
from tests.fakes.unscripted import unscripted

Reply = Callable[[Request], str]

_TOKEN = re.compile(r"\s*\S+|\s+$")
_names = itertools.count()


class WordCounter:
    """A token is a word with the whitespace before it, so that a text cut anywhere is a prefix of it."""

    name = "words"

    def count(self, text: str) -> int:
        return len(_TOKEN.findall(text))

    def cut(self, text: str, tokens: int) -> str:
        return "".join(_TOKEN.findall(text)[: max(tokens, 0)])


class ScriptedEngine:
    """Answers with scripted replies and keeps every request.

    A reply that fills `max_tokens` ends with the finish reason "length", as one of a real engine does: there is no
    token left to say that it had ended. Stop strings end a reply too, and are not part of it.

    What its script raises is an answer that it does not have, and fails the test at its end, whatever the library makes
    of it. An `LM15Error` is a fault that the test plants.

    Args:
        reply: A function of the request, or replies in the order of the calls. Where a request ends in an assistant
            message, the reply is what comes after that.
        can_continue: Whether this engine says that it continues a last assistant message; it does so in either case.
        thinking: What the engine thinks before each reply where it is a native reasoning model; its tokens count
            against `max_tokens`.
        shows_thinking: Whether it shows that.
    """

    supported_params = frozenset({"max_tokens", "temperature", "seed", "stop", "response_format", "reasoning_effort"})

    def __init__(
        self,
        reply: Reply | Iterable[str],
        *,
        can_continue: bool = True,
        thinking: Reply | None = None,
        shows_thinking: bool = True,
    ) -> None:
        self.counter = WordCounter()
        self.can_continue = can_continue
        self.supports_reasoning = thinking is not None
        self.requests: list[Request] = []
        self.responses: list[Response] = []
        self._thinking = thinking
        self._shows_thinking = shows_thinking
        self._lock = threading.Lock()
        self._reply = reply if callable(reply) else _from_queue(iter(reply))

    def complete(self, request: Request) -> Response:
        with self._lock, unscripted.taken(question_of(request), (LM15Error,)):
            text = _stopped(self._reply(request), request.config.stop)
            thinking = self._thinking(request) if self._thinking else ""
        cap = request.config.max_tokens
        shown = thinking if cap is None else self.counter.cut(thinking, cap)
        left = None if cap is None else cap - self.counter.count(shown)
        written = text if left is None else self.counter.cut(text, left)
        thought, said = self.counter.count(shown), self.counter.count(written)
        response = Response(
            id=None,
            model=request.model,
            message=Message(
                "assistant",
                (
                    *([ThinkingPart(shown)] if shown and self._shows_thinking else []),
                    *([TextPart(written)] if said or not shown or not self._shows_thinking else []),
                ),
            ),
            finish_reason="length" if cap is not None and thought + said >= cap else "stop",
            usage=Usage(
                input_tokens=self.counter.count(prompt_of(request)),
                output_tokens=thought + said,
                reasoning_tokens=thought if self._thinking else None,
            ),
        )
        with self._lock:
            self.requests.append(request)
            self.responses.append(response)
        return response

    @property
    def written(self) -> int:
        """Tokens written in all calls, thinking included: what a provider would bill."""
        return sum(response.usage.output_tokens or 0 for response in self.responses)

    def __deepcopy__(self, memo: dict[int, Any]) -> ScriptedEngine:
        return self  # copies of an LM share the record


class AsyncScriptedEngine:
    """A `ScriptedEngine` that is awaited; it lets other tasks run first, as a network call does."""

    def __init__(self, engine: ScriptedEngine) -> None:
        self._engine = engine

    async def complete(self, request: Request) -> Response:
        await asyncio.sleep(0)
        return self._engine.complete(request)


def scripted_lm(
    reply: Reply | Iterable[str],
    *,
    can_continue: bool = True,
    thinking: Reply | None = None,
    shows_thinking: bool = True,
    cache: bool = False,
    **options: Any,
) -> dspy.LM:
    """Returns an LM on a `ScriptedEngine` of its own (`lm.engine`), under a name of its own: caches never mix."""
    engine = ScriptedEngine(reply, can_continue=can_continue, thinking=thinking, shows_thinking=shows_thinking)
    name = f"scripted/{next(_names)}"
    return dspy.LM(name, engine=engine, async_engine=AsyncScriptedEngine(engine), cache=cache, **options)


def by_prompt(texts: Sequence[str]) -> Reply:
    """Returns a reply that picks one of the texts by the prompt alone: the same prompt always has the same reply."""
    return lambda request: texts[zlib.crc32(prompt_of(request).encode()) % len(texts)]


def going_on(text: str, answer: Reply) -> Reply:
    """Returns a reply that writes `text`, goes on with any beginning of it, and gives `answer` where one is forced."""

    def reply(request: Request) -> str:
        begun = prefill_of(request)
        if begun is None and is_forced(request):
            return chat(answer=answer(request), end="")
        if begun is None or text.startswith(begun):
            return text[len(begun or "") :]
        return answer(request)

    return reply


def chat(end: str = CHAT_END, **fields: object) -> str:
    """Returns a completion in the chat adapter's format; `end=""` leaves the mark of completion out."""
    body = "\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in fields.items())
    return f"{body}\n\n{end}".rstrip()


def words(n: int, word: str = "think") -> str:
    """Returns a text of `n` tokens, each one different."""
    return " ".join(f"{word}{i}" for i in range(n))


def _from_queue(texts: Any) -> Reply:
    def reply(request: Request) -> str:
        try:
            return str(next(texts))
        except StopIteration:
            raise AssertionError(f"a call that was not scripted: {question_of(request)[:200]}") from None

    return reply


def _stopped(text: str, stops: Iterable[str]) -> str:
    ends = [at for at in (text.find(stop) for stop in stops) if at >= 0]
    return text[: min(ends)] if ends else text
