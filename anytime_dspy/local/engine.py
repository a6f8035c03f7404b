"""The embedded models as DSPy engines."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from typing_extensions import Self

from anytime_dspy._dspy import lm15
from anytime_dspy.calls.tokens import cut_by_codec
from anytime_dspy.errors import ModelError
from anytime_dspy.local import openvino_server
from anytime_dspy.local.models import model_name, model_path
from anytime_dspy.local.openvino_server import OpenVinoServer
from anytime_dspy.local.server import LlamaServer, ModelServer, ServerSettings, usable_cpus
from anytime_dspy.local.wire import SUPPORTED_PARAMS, chat_of

__all__ = ["AsyncEmbeddedEngine", "EmbeddedCounter", "EmbeddedEngine", "LlamaEngine", "OpenVinoEngine"]


class EmbeddedEngine(ABC):
    """Runs a GGUF model inside this process: `dspy.LM(name, engine=LlamaEngine(path))`.

    Engines of the same file, slots and context share one server, loaded by the first call; so do copies and deep
    copies of an LM. Calls may come from several threads; up to `slots` of them are decoded in one batch. A request that
    ends in an assistant message is continued, and the reply holds only the new text.

    Args:
        path: A .gguf file, or the name of a model that was pulled.
        slots: Requests that are decoded in one batch; by default as many as leave greedy replies unchanged.
        context: Tokens of prompt and reply that one slot holds.
        threads: Compute threads; by default one per CPU that this process may use.

    Attributes:
        server: The server that it shares with the other engines of these settings.

    Raises:
        ModelError: There is no such model on this machine.
    """

    can_continue = True
    supported_params: ClassVar[frozenset[str]]
    default_slots: ClassVar[int] = 1
    best_slots: ClassVar[int]
    """Requests at a time beyond which more of them bring little."""

    def __init__(
        self, path: str | Path, *, slots: int | None = None, context: int = 8192, threads: int | None = None
    ) -> None:
        slots = self.default_slots if slots is None else slots
        if min(slots, context) < 1:
            raise ModelError(f"slots and context must be at least 1, not {slots} and {context}")
        self._settings = ServerSettings(model_path(path), slots, context, threads or usable_cpus())
        self.server = self._shared(self._settings)
        self.counter = EmbeddedCounter(self.server)

    @abstractmethod
    def _shared(self, settings: ServerSettings) -> ModelServer:
        """Returns this process's server of these settings."""

    @cached_property
    def opens_messages(self) -> bool:
        """Whether its messages are opened with the first field's header, and an answer ends at the next one.

        That saves tokens, and keeps small models to the format. It is off for models that think inside their text (they
        have a token for it).
        """
        return len(self.server.tokenize("<think>")) > 1

    @property
    def async_engine(self) -> AsyncEmbeddedEngine:
        """The same engine for `await lm.acall(...)`."""
        return AsyncEmbeddedEngine(self)

    def complete(self, request: lm15.Request) -> lm15.Response:
        """Returns the model's reply to one request.

        Raises:
            ContextLengthError: The prompt is longer than a slot's context.
            InvalidRequestError: The request is invalid, for example its grammar.
            UnsupportedFeatureError: The request needs a feature that the embedded models lack.
            ConfigurationError: The model cannot be loaded.
        """
        chat = chat_of(request)
        try:
            prompt = self.server.render(chat.messages) + chat.prefill
            return self.server.complete(request.model, prompt, request.config)
        except ModelError as error:
            raise lm15.ConfigurationError(str(error)) from error

    def close(self) -> None:  # noqa: B027 - DSPy closes engines, and there is nothing to close
        """Does nothing: the server is shared, and freed with the last engine that uses it."""

    def dump_state(self) -> dict[str, Any]:
        """Returns the state for `load_state`: the name of a pulled model, otherwise its path."""
        path, slots, context, _ = self._settings
        return {"model": model_name(path) or str(path), "slots": slots, "context": context}

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> Self:
        """Returns the engine that `dump_state` described.

        Raises:
            ModelError: Its model is not on this machine.
        """
        return cls(state["model"], slots=state["slots"], context=state["context"])

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).load_state, (self.dump_state(),)


class LlamaEngine(EmbeddedEngine):
    """Runs a GGUF model by llama.cpp, on every platform.

    Each slot is a prefix cache of its last prompt. Greedy and seeded replies are reproducible with one slot; with
    several they may differ, since the composition of a batch changes the rounding.
    """

    supports_response_schema = True
    supported_params = SUPPORTED_PARAMS
    best_slots = 8

    def _shared(self, settings: ServerSettings) -> ModelServer:
        return LlamaServer.shared(settings)


class OpenVinoEngine(EmbeddedEngine):
    """Runs a GGUF model by OpenVINO, several times as fast on CPUs with AVX-512.

    All slots share a prefix cache. Greedy replies are reproducible, also with several slots, except for near ties.
    """

    supported_params = openvino_server.SUPPORTED_PARAMS
    default_slots = best_slots = 48

    def _shared(self, settings: ServerSettings) -> ModelServer:
        return OpenVinoServer.shared(settings)

    @property
    def shares_prefixes(self) -> bool:
        """Whether several requests with a common prefix take little more time than one."""
        return self._settings.slots > 1


class AsyncEmbeddedEngine:
    """The asynchronous form of an embedded engine: each request runs in a thread."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        self._engine = engine

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """Returns the model's reply to one request; see `EmbeddedEngine.complete`."""
        return await asyncio.to_thread(self._engine.complete, request)

    async def aclose(self) -> None:
        """Does nothing; see `EmbeddedEngine.close`."""

    def dump_state(self) -> dict[str, Any]:
        """Returns the state for `load_state`."""
        return {**self._engine.dump_state(), "engine": type(self._engine).__name__}

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> AsyncEmbeddedEngine:
        """Returns the engine that `dump_state` described."""
        kind = OpenVinoEngine if state.get("engine") == OpenVinoEngine.__name__ else LlamaEngine
        return cls(kind.load_state(state))


class EmbeddedCounter:
    """Counts tokens with the model's own tokenizer; an `anytime_dspy.calls.tokens.TokenCounter`."""

    def __init__(self, server: ModelServer) -> None:
        self._server = server

    @property
    def name(self) -> str:
        """The name that counts are stored under: the engine and the beginning of the file's hash."""
        return self._server.counter_name

    def count(self, text: str) -> int:
        """Returns the number of tokens in `text`."""
        return len(self._server.tokenize(text))

    def cut(self, text: str, tokens: int) -> str:
        """Returns the longest prefix of `text` that has at most `tokens` tokens."""
        return cut_by_codec(self._server.tokenize, self._server.detokenize, text, tokens)
