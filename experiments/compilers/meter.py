"""Counts the LM tokens of a compile, and ends it at a limit."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dspy
from dspy.lm15 import Response
from dspy.utils.callback import BaseCallback

from anytime_dspy.calls.tokens import TokenCounter

__all__ = ["LimitReached", "TokenMeter"]


class LimitReached(BaseException):
    """The tokens are used up.

    Not an `Exception`: DSPy's optimisers take one for a failed example or candidate, and go on.
    """


class TokenMeter(BaseCallback):
    """Counts every token that is sent and received below it, and refuses calls once a limit is reached.

    DSPy tells it of each call twice. Before a call it is a callback, and may refuse it. After a call it stands in the
    list of callers, as a module does, whose history gets every call of every thread, failed parses included. A call
    that DSPy's cache answers counts in full, the first time and each later time: so the count is what the compiler
    asked for, whatever an earlier, killed run left in the cache.

    Calls that are under way when the limit is reached are finished and counted, one a thread at most.

    Args:
        counter: Counts the texts of a call whose provider does not say, or of which the cache has forgotten it.
        limit: In tokens; None to count only.
    """

    def __init__(self, counter: TokenCounter, limit: int | None = None) -> None:
        self.tokens = 0
        self.calls = 0
        self._counter = counter
        self._limit = limit
        self._under_way: set[str] = set()
        self._changed = threading.Condition()

    @contextmanager
    def running(self, *callbacks: BaseCallback) -> Iterator[None]:
        """Counts the calls inside the `with` block, and leaves it when none is under way any more.

        Args:
            *callbacks: Others that DSPy is to tell.
        """
        settings = dspy.settings
        with dspy.context(
            callbacks=[*(settings.callbacks or ()), self, *callbacks],
            caller_modules=[*(settings.caller_modules or ()), self],
        ):
            try:
                yield
            finally:
                # DSPy leaves its threads behind when it is interrupted; what they are paying for now still counts.
                with self._changed:
                    self._changed.wait_for(lambda: not self._under_way)

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Refuses a call beyond the limit."""
        with self._changed:
            if self._limit is not None and self.tokens >= self._limit:
                raise LimitReached
            self._under_way.add(call_id)

    def on_lm_end(self, call_id: str, outputs: Any, exception: Exception | None = None) -> None:
        """Notes that a call has ended."""
        with self._changed:
            self._under_way.discard(call_id)
            self._changed.notify_all()

    @property
    def history(self) -> TokenMeter:
        """What DSPy appends each call to."""
        return self

    def append(self, entry: Mapping[str, Any]) -> None:
        """Counts a call."""
        tokens = _told(entry)
        if tokens is None:
            sent = [str(message.get("content") or "") for message in entry["messages"] or ()]
            tokens = sum(map(self._counter.count, [*sent, *_texts(entry["outputs"])]))
        with self._changed:
            self.tokens += tokens
            self.calls += 1

    def __len__(self) -> int:
        return 0  # DSPy drops the oldest of a long history; nothing is kept here


def _told(entry: Mapping[str, Any]) -> int | None:
    """The tokens of a call as its LM counted them, None where it did not."""
    response = entry["response"]
    answers = response if isinstance(response, (tuple, list)) else (response,)
    if answers and all(isinstance(one, Response) for one in answers):  # unlike the entry, these survive DSPy's cache
        counted = [count for one in answers for count in (one.usage.input_tokens, one.usage.output_tokens)]
    else:
        usage = entry["usage"] or {}
        counted = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
    return None if None in counted else sum(counted)


def _texts(outputs: Iterable[Any]) -> Iterator[str]:
    for output in outputs:
        parts = output if isinstance(output, dict) else {"text": output}
        yield from (str(parts.get(name) or "") for name in ("reasoning_content", "text"))
