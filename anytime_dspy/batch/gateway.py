"""A server on loopback in the provider's place: it answers what a batch has answered and collects everything else.

The LM is the user's own with another address, so what it sends, and how it reads a reply or an error, is to the letter
what it is in a live sweep, whichever of DSPy's engines makes the call.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import getproxies, proxy_bypass

import dspy

from anytime_dspy.errors import RunError
from anytime_dspy.storage.jsonl import content_hash

__all__ = ["Gateway", "BatchReply", "BatchRequest"]

HOST = "127.0.0.1"


@dataclass(frozen=True)
class BatchReply:
    """What a provider replied to one request of a batch.

    Attributes:
        status: The HTTP status.
        body: The body, of an error too.
    """

    status: int
    body: Any

    @property
    def is_final(self) -> bool:
        """Whether the same request would be answered alike again: by a completion, or by an error of the request's."""
        return self.status < 500 and self.status not in (408, 409, 424, 429)


UNANSWERED = BatchReply(424, {"error": {"message": "This call waits for its batch.", "type": "waiting", "code": None}})


@dataclass(frozen=True)
class BatchRequest:
    """A request as an LM sent it.

    Attributes:
        path: Where it is sent, such as /v1/chat/completions.
        body: What is sent.
    """

    path: str
    body: dict[str, Any]

    @property
    def key(self) -> str:
        """What makes two requests the same one, in another process too."""
        return content_hash([self.path, self.body])


class Gateway:
    """`with Gateway(answers) as gateway:` answers at `gateway.url`.

    Args:
        answers: Replies by the key of their request; it may grow while the gateway is open.

    Raises:
        RunError: A proxy stands between this process and itself.
    """

    def __init__(self, answers: Mapping[str, BatchReply]) -> None:
        if getproxies().get("http") and not proxy_bypass(HOST):
            raise RunError(f"HTTP_PROXY is set for {HOST} too, where a batch is put together: set NO_PROXY={HOST}")
        self._answers = answers
        self._collected: dict[str, BatchRequest] = {}
        self._lock = threading.Lock()
        self._http = _Server((HOST, 0), _handler(self))

    @property
    def url(self) -> str:
        """The address for an LM."""
        return f"http://{HOST}:{self._http.server_port}/v1"

    def __enter__(self) -> Gateway:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def standing_in(self, lm: dspy.LM) -> dspy.LM:
        """Returns an LM that calls here what `lm` calls at its provider."""
        address = {name: self.url for name in ("base_url", "api_base") if name == "api_base" or lm.kwargs.get(name)}
        return lm.copy(num_retries=0, **address)

    def take(self) -> dict[str, BatchRequest]:
        """Returns the requests that had no answer since this was last called, by their keys."""
        with self._lock:
            collected, self._collected = self._collected, {}
        return collected

    def reply(self, request: BatchRequest) -> BatchReply:
        """Returns the answer to a request, or notes that there is none yet."""
        key = request.key
        answer = self._answers.get(key)
        if answer is not None:
            return answer
        with self._lock:
            self._collected[key] = request
        return UNANSWERED


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # all threads of a sweep connect at once


def _handler(gateway: Gateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # head and body in one packet

        def do_POST(self) -> None:
            """Answers one call."""
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            reply = gateway.reply(BatchRequest(self.path, body))
            content = json.dumps(reply.body).encode()
            self.send_response(reply.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return Handler
