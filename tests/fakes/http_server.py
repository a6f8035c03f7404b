"""A chat completions server on loopback that says what a test tells it to, and keeps what it was sent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from anytime_dspy.tokens import LiteLLMCounter
from tests.fakes.unscripted import unscripted

TOKENS = LiteLLMCounter("gpt-4o")


@dataclass(frozen=True)
class Reply:
    """What a model writes, all of it: the server cuts it off at the request's cap, thinking first.

    Attributes:
        text: The visible text.
        thinking: What it thinks before.
        shown: The key of the message that shows the thinking; None where the provider hides it.
        cached: Prompt tokens that the provider says it read from its cache.
    """

    text: str
    thinking: str = ""
    shown: str | None = "reasoning_content"
    cached: int = 0


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a call.

    Attributes:
        status: The status of the reply.
        body: Its body.
        headers: Headers of it.
        stall: Seconds before it.
        drop: Whether the connection is closed in the middle of the body.
    """

    status: int = 200
    body: str = '{"error": {"message": "scripted to fail"}}'
    headers: dict[str, str] = field(default_factory=dict)
    stall: float = 0.0
    drop: bool = False


@dataclass(frozen=True)
class Received:
    """One request, what was billed for it, and when it came, on the monotonic clock."""

    path: str
    body: dict[str, Any]
    billed: int = 0
    at: float = field(default_factory=time.monotonic)

    @property
    def cap(self) -> int:
        return self.body.get("max_completion_tokens") or self.body["max_tokens"]

    @property
    def prompt(self) -> str:
        return "\n".join(message["content"] for message in self.body["messages"])

    @property
    def prefill(self) -> str | None:
        last = self.body["messages"][-1]
        return last["content"] if last["role"] == "assistant" else None


class ChatServer:
    """`with ChatServer(script) as server:` listens at `server.url`.

    Args:
        script: What is replied to a request.
    """

    def __init__(self, script: Callable[[Received], Reply | Fault]) -> None:
        self.received: list[Received] = []
        self._script = script
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        TOKENS.count("")  # loads litellm now, and not within a client's timeout
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    @property
    def billed(self) -> int:
        """Completion tokens of all calls, thinking included."""
        return sum(received.billed for received in self.received)

    def __enter__(self) -> ChatServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()  # ends the stalls
        self._http.shutdown()
        self._http.server_close()

    def answer(self, path: str, body: dict[str, Any]) -> Fault:
        """Returns what goes over the wire: a fault as it is, a reply as a body."""
        with self._lock:
            with unscripted.taken(json.dumps(body)):
                reply = self._script(Received(path, body))
            completion = {} if isinstance(reply, Fault) else completion_of(Received(path, body), reply)
            billed = completion["usage"]["completion_tokens"] if completion else 0
            self.received.append(Received(path, body, billed))
        return reply if isinstance(reply, Fault) else Fault(body=json.dumps(completion))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                sent = server.answer(self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                server._stopping.wait(sent.stall)
                content = sent.body.encode()
                try:
                    self.send_response(sent.status)
                    for name, value in {"Content-Type": "application/json", **sent.headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content[: len(content) // 2] if sent.drop else content)
                except OSError:
                    self.close_connection = True  # a client that waited no longer
                self.close_connection = self.close_connection or sent.drop

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def completion_of(received: Received, reply: Reply) -> dict[str, Any]:
    """Returns what an OpenAI-compatible server makes of a reply under a request's cap."""
    cap = received.cap
    thinking = TOKENS.cut(reply.thinking, cap)
    thought = TOKENS.count(thinking)
    text = TOKENS.cut(reply.text, cap - thought)
    written = thought + TOKENS.count(text)
    prompt = TOKENS.count(received.prompt)
    shown = {reply.shown: thinking} if reply.shown and thinking else {}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": received.body["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **shown},
                "finish_reason": "length" if written >= cap else "stop",
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "total_tokens": prompt + written,
            "prompt_tokens_details": {"cached_tokens": reply.cached},
            "completion_tokens_details": {"reasoning_tokens": thought},
        },
    }
