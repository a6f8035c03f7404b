"""An LM that replies as a script says, and otherwise keeps to caps and stop strings as a real one does."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import dspy

from anytime_dspy._dspy import lm15
from anytime_dspy.calls.formats import CHAT_END
from anytime_dspy.testing.requests import is_forced, prefill_of, prompt_of, question_of

__all__ = [
    "AsyncScriptedEngine",
    "Reply",
    "ScriptedEngine",
    "WordCounter",
    "by_prompt",
    "chat",
    "continuing",
    "scripted_lm",
    "words",
]

logger = logging.getLogger(__name__)

Reply = Callable[[lm15.Request], str]
"""Returns the whole reply to a request; the engine cuts it at the request's cap."""

_TOKEN = re.compile(r"\s*\S+|\s+$")
_names = itertools.count()


class WordCounter:
    """Counts each word, with the whitespace before it, as one token: a text cut anywhere is a prefix of it."""

    name = "words"

    def count(self, text: str) -> int:
        """Returns the number of tokens in `text`."""
        return len(_TOKEN.findall(text))

    def cut(self, text: str, tokens: int) -> str:
        """Returns the longest prefix of `text` that has at most `tokens` tokens."""
        return "".join(_TOKEN.findall(text)[: max(tokens, 0)])


class ScriptedEngine:
    """A DSPy engine that answers with scripted replies and keeps every request.

    A reply that fills `max_tokens` ends with the finish reason "length", as a real engine's does: no token is left to
    say that it had ended. A stop string ends a reply and is not part of it.

    A script that raises has no reply to a request. DSPy and its optimisers may swallow that error, so it is also logged
    as an error of `anytime_dspy.testing.scripted`. An `LM15Error` is a fault raised on purpose and is not logged.

    Args:
        reply: A function of the request, or replies in the order of the calls. Where a request ends in an assistant
            message, the reply is what comes after that message.
        can_continue: Whether the engine declares that it continues a last assistant message; it always does so.
        thinking: What a native reasoning model thinks before each reply; its tokens count against `max_tokens`.
        shows_thinking: Whether the response shows that thinking.

    Attributes:
        requests: All requests so far.
        responses: The responses to them.
        counter: Counts words; token counts of the library are words, too.
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
        self.requests: list[lm15.Request] = []
        self.responses: list[lm15.Response] = []
        self._thinking = thinking
        self._shows_thinking = shows_thinking
        self._lock = threading.Lock()
        self._reply = reply if callable(reply) else _from_queue(iter(reply))

    def complete(self, request: lm15.Request) -> lm15.Response:
        """Returns the scripted reply to one request, cut at its cap."""
        text, thinking = self._scripted(request)
        cap = request.config.max_tokens
        shown = thinking if cap is None else self.counter.cut(thinking, cap)
        left = None if cap is None else cap - self.counter.count(shown)
        written = text if left is None else self.counter.cut(text, left)
        thought, said = self.counter.count(shown), self.counter.count(written)
        response = lm15.Response(
            id=None,
            model=request.model,
            message=lm15.Message(
                "assistant",
                (
                    *([lm15.ThinkingPart(shown)] if shown and self._shows_thinking else []),
                    *([lm15.TextPart(written)] if said or not shown or not self._shows_thinking else []),
                ),
            ),
            finish_reason="length" if cap is not None and thought + said >= cap else "stop",
            usage=lm15.Usage(
                input_tokens=self.counter.count(prompt_of(request)),
                output_tokens=thought + said,
                reasoning_tokens=thought if self._thinking else None,
            ),
        )
        with self._lock:
            self.requests.append(request)
            self.responses.append(response)
        return response

    def _scripted(self, request: lm15.Request) -> tuple[str, str]:
        with self._lock:
            try:
                text = _stopped(self._reply(request), request.config.stop)
                return text, self._thinking(request) if self._thinking else ""
            except lm15.LM15Error:
                raise
            except Exception as error:
                asked = question_of(request)[-400:]
                logger.error("no scripted reply: %s: %s, asked: %s", type(error).__name__, error, asked)
                raise

    @property
    def written(self) -> int:
        """Tokens written in all calls, thinking included: what a provider would bill."""
        return sum(response.usage.output_tokens or 0 for response in self.responses)

    def __deepcopy__(self, memo: dict[int, Any]) -> ScriptedEngine:
        return self  # copies of an LM share the record


class AsyncScriptedEngine:
    """Makes a `ScriptedEngine` awaitable; other tasks run first, as they do during a network call."""

    def __init__(self, engine: ScriptedEngine) -> None:
        self._engine = engine

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """Returns the scripted reply to one request; see `ScriptedEngine.complete`."""
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
    """Returns an LM with its own `ScriptedEngine` (`lm.engine`) and its own name, so that DSPy's caches never mix.

    Args:
        reply: See `ScriptedEngine`, as for the next three.
        can_continue: Whether the engine declares that it continues a last assistant message.
        thinking: What a native reasoning model thinks before each reply.
        shows_thinking: Whether the response shows that thinking.
        cache: Whether DSPy may cache the replies.
        **options: Further options of `dspy.LM`, such as `temperature`.

    Example:
        >>> import anytime_dspy as ad
        >>> def reply(request):
        ...     return "4" if is_forced(request) else chat(reasoning=words(20), answer="5")
        >>> lm = scripted_lm(reply)
        >>> with dspy.context(lm=lm), ad.budget(8, answer_tokens=8) as spent:
        ...     print(dspy.ChainOfThought("question -> answer")(question="What is 2 + 3?").answer)
        4
        >>> spent.reasoning, spent.forced, len(lm.engine.requests)
        (8, True, 2)
    """
    engine = ScriptedEngine(reply, can_continue=can_continue, thinking=thinking, shows_thinking=shows_thinking)
    name = f"scripted/{next(_names)}"
    return dspy.LM(name, engine=engine, async_engine=AsyncScriptedEngine(engine), cache=cache, **options)


def by_prompt(texts: Sequence[str]) -> Reply:
    """Returns a reply that picks one of `texts` by a hash of the prompt: the same prompt always gets the same text."""
    return lambda request: texts[zlib.crc32(prompt_of(request).encode()) % len(texts)]


def continuing(text: str, answer: Reply) -> Reply:
    """Returns a reply that writes `text`, continues any beginning of it, and gives `answer` where one is forced."""

    def reply(request: lm15.Request) -> str:
        begun = prefill_of(request)
        if begun is None and is_forced(request):
            return chat(answer=answer(request), end="")
        if begun is None or text.startswith(begun):
            return text[len(begun or "") :]
        return answer(request)

    return reply


def chat(end: str = CHAT_END, **fields: object) -> str:
    """Returns a completion in the chat adapter's format; `end=""` leaves out the marker of completion."""
    body = "\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in fields.items())
    return f"{body}\n\n{end}".rstrip()


def words(n: int, word: str = "think") -> str:
    """Returns a text of `n` different words, each one a token of `WordCounter`.

    >>> words(3)
    'think0 think1 think2'
    """
    return " ".join(f"{word}{i}" for i in range(n))


def _from_queue(texts: Iterator[str]) -> Reply:
    def reply(request: lm15.Request) -> str:
        try:
            return str(next(texts))
        except StopIteration:
            raise AssertionError(f"all scripted replies are used up: {question_of(request)[:200]}") from None

    return reply


def _stopped(text: str, stops: Iterable[str]) -> str:
    ends = [at for at in (text.find(stop) for stop in stops) if at >= 0]
    return text[: min(ends)] if ends else text
