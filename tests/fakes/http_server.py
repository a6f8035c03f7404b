"""A server on loopback, chat completions or responses, that says what a test tells it to and keeps what it was sent."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from anytime_dspy.calls.tokens import LiteLLMCounter
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
        logprobs: The log-probabilities of the first token's alternatives, told where they are asked for.
    """

    text: str
    thinking: str = ""
    shown: str | None = "reasoning_content"
    cached: int = 0
    logprobs: dict[str, float] = field(default_factory=dict)


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
    """One request, and what was billed for it."""

    path: str
    body: dict[str, Any]
    billed: int = 0

    @property
    def cap(self) -> int:
        names = ("max_completion_tokens", "max_output_tokens", "max_tokens")
        return next(self.body[name] for name in names if self.body.get(name))

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self.body["messages"] if "messages" in self.body else self.body["input"]

    @property
    def prompt(self) -> str:
        return "\n".join([self.body.get("instructions") or "", *map(_text, self.messages)]).lstrip("\n")

    @property
    def prefill(self) -> str | None:
        last = self.messages[-1]
        return _text(last) if last["role"] == "assistant" else None


class _Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        """Says nothing of a client that was killed: stderr is that of a command within the tests' process, too."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class ChatServer:
    """`with ChatServer(script) as server:` listens at `server.url`.

    Args:
        script: What is replied to a request.
        delay: Seconds before each reply.
    """

    def __init__(self, script: Callable[[Received], Reply | Fault], delay: float = 0.0) -> None:
        self.received: list[Received] = []
        self.delay = delay
        self._script = script
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        TOKENS.count("")  # loads litellm now, and not within a client's timeout
        self._http = _Server(("127.0.0.1", 0), self.handler())

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
            usage = completion.get("usage", {})
            billed = usage.get("completion_tokens", usage.get("output_tokens", 0))
            self.received.append(Received(path, body, billed))
        return reply if isinstance(reply, Fault) else Fault(body=json.dumps(completion))

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server, stopping = self, self._stopping

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                sent = server.answer(self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                stopping.wait(sent.stall + server.delay)
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
    if received.path.endswith("/responses"):
        return _response_of(received, reply, text, prompt, thought, written)
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


def _response_of(
    received: Received, reply: Reply, text: str, prompt: int, thought: int, written: int
) -> dict[str, Any]:
    """The same as OpenAI's Responses API says it; thinking is hidden there."""
    is_whole = written < received.cap
    said: dict[str, Any] = {"type": "output_text", "text": text, "annotations": []}
    if "message.output_text.logprobs" in received.body.get("include", ()):
        top = [{"token": token, "logprob": logprob} for token, logprob in reply.logprobs.items()]
        said["logprobs"] = [{**top[0], "top_logprobs": top}] if top else []
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": received.body["model"],
        "status": "completed" if is_whole else "incomplete",
        "incomplete_details": None if is_whole else {"reason": "max_output_tokens"},
        "output": [
            *([{"type": "reasoning", "id": "rs_1", "summary": []}] if thought else []),
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [said]},
        ],
        "usage": {
            "input_tokens": prompt,
            "output_tokens": written,
            "total_tokens": prompt + written,
            "output_tokens_details": {"reasoning_tokens": thought},
        },
    }


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)
