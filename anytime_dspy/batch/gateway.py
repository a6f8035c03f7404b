"""A loopback server in place of the provider: it replies from finished batch jobs and collects all other requests.

The LM is the user's own with another address. It therefore sends the same requests, and reads replies and errors in the
same way, as in a live sweep.
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
    """A provider's reply to one request of a batch.

    Attributes:
        status: The HTTP status.
        body: The body, also that of an error.
    """

    status: int
    body: Any

    @property
    def is_final(self) -> bool:
        """Whether a retry is pointless: the reply is a completion, or an error in the request itself."""
        return self.status < 500 and self.status not in (408, 409, 424, 429)


UNANSWERED = BatchReply(424, {"error": {"message": "This call waits for its batch.", "type": "waiting", "code": None}})


@dataclass(frozen=True)
class BatchRequest:
    """An LM's request.

    Attributes:
        path: The path of its URL, such as /v1/chat/completions.
        body: Its JSON body.
    """

    path: str
    body: dict[str, Any]

    @property
    def key(self) -> str:
        """A hash of the request, the same in every process."""
        return content_hash([self.path, self.body])


class Gateway:
    """Replies at `gateway.url` inside `with Gateway(answers) as gateway:`.

    Args:
        answers: Replies by the key of their request; it may grow while the gateway is open.

    Raises:
        RunError: A proxy is set for loopback addresses.
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
        """The `api_base` of an LM."""
        return f"http://{HOST}:{self._http.server_port}/v1"

    def __enter__(self) -> Gateway:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    def standing_in(self, lm: dspy.LM) -> dspy.LM:
        """Returns a copy of an LM that sends its requests here."""
        address = {name: self.url for name in ("base_url", "api_base") if name == "api_base" or lm.kwargs.get(name)}
        return lm.copy(num_retries=0, **address)

    def take(self) -> dict[str, BatchRequest]:
        """Returns the unanswered requests since the last call of this method, by key."""
        with self._lock:
            collected, self._collected = self._collected, {}
        return collected

    def reply(self, request: BatchRequest) -> BatchReply:
        """Returns the reply to a request; without one, collects the request and returns an error."""
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
            """Replies to one request."""
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
