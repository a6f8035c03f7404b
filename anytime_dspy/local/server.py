"""One llama.cpp server for each model file, shared within the process."""

from __future__ import annotations

import json
import logging
import os
import secrets
import threading
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from typing_extensions import Self

from anytime_dspy._dspy import lm15
from anytime_dspy.errors import ModelError
from anytime_dspy.local.models import file_digest
from anytime_dspy.local.wire import body_of, response_of

__all__ = ["LlamaServer", "ModelServer", "ServerSettings", "SharedServer"]

logger = logging.getLogger(__name__)

# Templates and tokens take about a millisecond, so this only ends the wait for a dead server.
_REPLY_SECONDS = 60.0


class ServerSettings(NamedTuple):
    """The settings of a server; equal settings share one.

    Attributes:
        path: The .gguf file, resolved.
        slots: Requests that are decoded in one batch.
        context: Tokens of prompt and reply that one slot holds.
        threads: Compute threads.
    """

    path: Path
    slots: int
    context: int
    threads: int


class ModelServer(Protocol):
    """A loaded model, in any engine; every method may be called from several threads."""

    settings: ServerSettings

    @property
    def counter_name(self) -> str:
        """The name that token counts are stored under."""

    def complete(self, model: str, prompt: str, config: lm15.Config) -> lm15.Response:
        """Runs one completion."""

    def render(self, messages: Sequence[dict[str, str]]) -> str:
        """Returns the prompt that the model's chat template makes of the messages, up to the model's turn."""

    def tokenize(self, text: str) -> list[int]:
        """Returns the token ids of a text; special tokens are recognised, and none is added."""

    def detokenize(self, tokens: Sequence[int]) -> str:
        """Returns the text of token ids."""


class SharedServer:
    """One server of each kind for equal settings, as long as it is referenced."""

    _servers: ClassVar[WeakValueDictionary[ServerSettings, Any]]
    _servers_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, settings: ServerSettings) -> None:
        self.settings = settings

    def __init_subclass__(cls) -> None:
        cls._servers = WeakValueDictionary()

    @classmethod
    def shared(cls, settings: ServerSettings) -> Self:
        """Returns this process's server of these settings."""
        with cls._servers_lock:
            server: Self | None = cls._servers.get(settings)
            if server is None:
                server = cls._servers[settings] = cls(settings)
            return server


class LlamaServer(SharedServer):
    """A llama.cpp server inside this process, loaded when it is first used.

    Get one by `LlamaServer.shared`: equal settings give the same server as long as it is referenced, and its
    memory is freed afterwards. Every method may be called from several threads.
    """

    def __init__(self, settings: ServerSettings) -> None:
        super().__init__(settings)
        self._lock = threading.Lock()
        self.key = secrets.token_hex()
        """What its API on loopback asks for."""
        self._loaded: Any = None

    @property
    def counter_name(self) -> str:
        """The name that token counts are stored under."""
        return f"llama:{file_digest(self.settings.path)[:8]}"

    def complete(self, model: str, prompt: str, config: lm15.Config) -> lm15.Response:
        """Runs one completion, or waits for a free slot and then runs it.

        Raises:
            ContextLengthError: The prompt is longer than a slot's context.
            InvalidRequestError: The request is invalid, for example its grammar.
            UnsupportedFeatureError: The request needs a feature that the embedded models lack.
        """
        body = {**body_of(config), "prompt": prompt}
        if body.get("id_slot", 0) not in range(self.settings.slots):
            raise lm15.InvalidRequestError(
                f"id_slot is {body['id_slot']}, and the engine has {self.settings.slots} slots"
            )
        return response_of(model, self._server().handle_completions(body))

    def render(self, messages: Sequence[dict[str, str]]) -> str:
        """Returns the prompt that the model's chat template makes of the messages, up to the model's turn.

        Raises:
            ModelError: The template rejects these messages.
        """
        return str(self._post("/apply-template", {"messages": list(messages)})["prompt"])

    def tokenize(self, text: str) -> list[int]:
        """Returns the token ids of a text; special tokens are recognised, and none is added."""
        body = {"content": text, "add_special": False, "parse_special": True}
        tokens: list[int] = self._post("/tokenize", body)["tokens"]
        return tokens

    def detokenize(self, tokens: Sequence[int]) -> str:
        """Returns the text of token ids."""
        return str(self._post("/detokenize", {"tokens": list(tokens)})["content"])

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        # The binding reaches templates and the tokenizer over loopback only; http.client never asks for a proxy.
        connection = HTTPConnection(urlsplit(self.address).netloc, timeout=_REPLY_SECONDS)
        try:
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
            connection.request("POST", path, json.dumps(body), headers)
            reply: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in reply:
            raise ModelError(f"the model at {self.settings.path} refused {path[1:]}: {reply['error']['message']}")
        return reply

    @property
    def address(self) -> str:
        """Where it listens, on loopback, for requests in the form of OpenAI's API."""
        return str(self._server().listening_address)

    def _server(self) -> Any:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded

    def _load(self) -> Any:
        xllamacpp = _import_xllamacpp()
        path, slots, context, threads = self.settings
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_parallel = slots
        params.n_ctx = context * slots
        params.cpuparams.n_threads = threads
        params.cpuparams_batch.n_threads = threads
        # Of large batches the last tokens are computed by other kernels than of small ones, so that greedy text depends
        # on how much of a prompt was cached. Small batches gave the same text every time, and were no slower.
        params.n_ubatch = 32
        params.n_threads_http = 2
        params.warmup = False
        params.cache_ram_mib = 0  # the slots are the prefix cache; a second one would take gigabytes
        params.verbosity = -1
        params.api_keys = [self.key]  # its port can be seen by every user of this machine
        try:
            server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise ModelError(
                f"llama.cpp cannot load {path} with {slots} x {context} tokens of context: the file is damaged, of a "
                "kind that this xllamacpp does not know, or larger than the free memory; fetch it again, or use less "
                "context"
            ) from error
        logger.debug("loaded %s: %d slots of %d tokens, %d threads", path, slots, context, threads)
        return server


def _import_xllamacpp() -> Any:
    # Read once, when OpenMP is loaded: how long a thread that waits for another spins before it sleeps. By default that
    # is so long that one other busy process makes decoding many times slower; this costs nothing on an idle machine.
    set_here = os.environ.keys().isdisjoint({"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"})
    if set_here:
        os.environ["GOMP_SPINCOUNT"] = "1000"
    try:
        import xllamacpp
    except ImportError as error:
        raise ModelError(
            "the embedded models need xllamacpp, which is missing: pip install 'anytime-dspy[local]'"
        ) from error
    finally:
        if set_here:
            del os.environ["GOMP_SPINCOUNT"]
    return xllamacpp


def usable_cpus() -> int:
    """Returns the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
