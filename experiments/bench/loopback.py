"""A chat completions server with a fixed latency, in a process of its own: `python loopback.py LATENCY_SECONDS`.

It prints its port. Every reply is the same reasoning and answer, cut off at the request's cap (a word is a token); one
whose prompt asks for the answer alone gets that alone. Good for measuring clients: it says nothing about any LM.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dspy

REASONING = " ".join(f"step{number}" for number in range(200))
REPLY = f"[[ ## reasoning ## ]]\n{REASONING}\n\n[[ ## answer ## ]]\n42\n\n[[ ## completed ## ]]"
ANSWER = "[[ ## answer ## ]]\n42\n\n[[ ## completed ## ]]"


@contextmanager
def server(latency: float) -> Iterator[int]:
    """Yields the port of such a server, which is killed at the end of the block."""
    with subprocess.Popen([sys.executable, __file__, str(latency)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def lm_at(port: int) -> dspy.LM:
    """Returns an LM that calls the server; no cache answers in its place."""
    import dspy

    url = f"http://127.0.0.1:{port}/v1"
    return dspy.LM("openai/gpt-4o-mini", api_base=url, api_key="none", cache=False, max_tokens=400)


def examples(count: int) -> list[dspy.Example]:
    """Returns questions, each asked once."""
    import dspy

    return [dspy.Example(id=str(n), question=f"Six times seven, {n}?").with_inputs("question") for n in range(count)]


def is_right(example: dspy.Example, prediction: dspy.Prediction) -> float:
    """Scores an answer."""
    return float(prediction.answer == "42")


def completion(body: dict[str, object]) -> dict[str, object]:
    """Returns the reply to one request."""
    messages = body["messages"]
    assert isinstance(messages, list)
    asked = str(messages[-1]["content"])
    words = (REPLY if "`[[ ## reasoning ## ]]`" in asked else ANSWER).split(" ")
    cap = int(str(body.get("max_tokens") or body.get("max_completion_tokens") or 10**9))
    shown = words[:cap]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": " ".join(shown)},
                "finish_reason": "length" if len(words) > cap else "stop",
            }
        ],
        "usage": {"prompt_tokens": 200, "completion_tokens": len(shown), "total_tokens": 200 + len(shown)},
    }


async def serve(latency: float) -> None:
    """Listens until it is killed."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                )
                body = json.loads(await reader.readexactly(length))
                await asyncio.sleep(latency)
                content = json.dumps(completion(body)).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                    % (len(content), content)
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(float(sys.argv[1])))
