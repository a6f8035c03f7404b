"""A server on loopback that speaks OpenAI's files and batches API beside chat completions, with faults on demand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.fakes.http_server import ChatServer, Fault, Received, Reply


@dataclass
class Job:
    """A batch as the server holds it."""

    id: str
    endpoint: str
    file: str
    status: str = "validating"
    polls: int = 0
    output: str | None = None
    errors: str | None = None
    problem: str | None = None
    counts: dict[str, int] = field(default_factory=lambda: {"total": 0, "completed": 0, "failed": 0})

    @property
    def body(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "input_file_id": self.file,
            "completion_window": "24h",
            "created_at": 1,
            "status": self.status,
            "output_file_id": self.output,
            "error_file_id": self.errors,
            "request_counts": self.counts,
            "errors": {"object": "list", "data": [{"code": "invalid", "message": self.problem}]}
            if self.problem
            else None,
        }


class BatchServer(ChatServer):
    """`with BatchServer(script) as server:` answers live calls and batches by the same script, at `server.url`.

    A job is done at its second poll, or never while `held`. Its output stands in the reverse order of its input.

    Args:
        script: What is replied to a request, in a batch and live.

    Attributes:
        jobs: All that were created.
        calls: The method and path of every request but chat completions.
        faults: By method and path, faults that are met one after the other before the call does anything.
        silent: By method and path, the same, after the call has done its work.
        failing: Says of a request's body and of how often it was tried before what goes wrong with it in a batch: a
            `Fault`, or "expired" for one that the job does not come to.
        rejects: Why every job is refused as a whole; None where none is.
        cancels: Whether somebody cancels each job.
        held: Whether jobs stay in progress.
        inputs: The requests of each job.
    """

    def __init__(self, script: Callable[[Received], Reply | Fault]) -> None:
        super().__init__(script)
        self.jobs: list[Job] = []
        self.files: dict[str, str] = {}
        self.calls: list[tuple[str, str]] = []
        self.faults: dict[tuple[str, str], list[Fault]] = {}
        self.silent: dict[tuple[str, str], list[Fault]] = {}
        self.failing: Callable[[dict[str, Any], int], Fault | str | None] = lambda body, tries: None
        self.rejects: str | None = None
        self.cancels = False
        self.held = False
        self.inputs: list[list[dict[str, Any]]] = []
        self._tries: dict[str, int] = {}

    def handled(self, method: str, path: str, content: bytes, kind: str) -> Fault:
        """Returns what goes over the wire."""
        if path.endswith(("/chat/completions", "/responses")):
            return self.answer(path, json.loads(content))
        call = method, path.removeprefix("/v1")
        with self._lock:
            self.calls.append(call)
            fault = self._next(self.faults, call)
        if fault is not None:
            return fault
        with self._lock:
            done = self._done(call, content, kind)
            return self._next(self.silent, call) or done

    @staticmethod
    def _next(faults: dict[tuple[str, str], list[Fault]], call: tuple[str, str]) -> Fault | None:
        return faults[call].pop(0) if faults.get(call) else None

    def _done(self, call: tuple[str, str], content: bytes, kind: str) -> Fault:
        method, path = call
        parts = path.strip("/").split("/")
        if call == ("POST", "/files"):
            return Fault(body=json.dumps(self._upload(content, kind)))
        if call == ("POST", "/batches"):
            return Fault(body=json.dumps(self._create(json.loads(content)).body))
        if call == ("GET", "/batches"):
            listed = [job.body for job in reversed(self.jobs)]
            return Fault(body=json.dumps({"object": "list", "data": listed, "has_more": False}))
        if method == "GET" and parts[0] == "batches":
            job = next((job for job in self.jobs if job.id == parts[1]), None)
            if job is None:
                return Fault(404, json.dumps({"error": {"message": f"no batch {parts[1]}"}}))
            self._go_on(job)
            return Fault(body=json.dumps(job.body))
        if method == "GET" and parts[0] == "files" and parts[2] == "content":
            return Fault(body=self.files[parts[1]])
        raise AssertionError(call)

    def _upload(self, content: bytes, kind: str) -> dict[str, Any]:
        message = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + content)
        parts = {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
            for part in message.iter_parts()
        }
        assert parts["purpose"].strip() == b"batch"
        return self._file(parts["file"].decode(), "input.jsonl")

    def _file(self, text: str, name: str) -> dict[str, Any]:
        made = f"file-{len(self.files) + 1}"
        self.files[made] = text
        return {
            "id": made,
            "object": "file",
            "bytes": len(text),
            "created_at": 1,
            "filename": name,
            "purpose": "batch",
            "status": "processed",
        }

    def _create(self, body: dict[str, Any]) -> Job:
        assert body["completion_window"] == "24h"
        job = Job(f"batch_{len(self.jobs) + 1}", body["endpoint"], body["input_file_id"])
        lines = [json.loads(line) for line in self.files[job.file].splitlines()]
        assert {line["url"] for line in lines} == {job.endpoint}
        assert len({line["custom_id"] for line in lines}) == len(lines)
        job.counts["total"] = len(lines)
        self.jobs.append(job)
        self.inputs.append(lines)
        return job

    def _go_on(self, job: Job) -> None:
        job.polls += 1
        if self.rejects is not None:
            job.status, job.problem = "failed", self.rejects
        elif self.cancels:
            job.status = "cancelled"
        elif job.polls == 1 or self.held:
            job.status = "in_progress"
        elif job.status == "in_progress":
            self._run(job)

    def _run(self, job: Job) -> None:
        output, errors = [], []
        job.status = "completed"
        for place, line in enumerate(json.loads(line) for line in self.files[job.file].splitlines()):
            tries = self._tries[line["custom_id"]] = self._tries.get(line["custom_id"], 0) + 1
            fault = self.failing(line["body"], tries - 1)
            said: dict[str, Any] = {"id": f"{job.id}-{place}", "custom_id": line["custom_id"], "error": None}
            if fault == "expired":
                job.status = "expired"
                error = {"code": "batch_expired", "message": "This request could not be executed in time."}
                errors.append({**said, "response": None, "error": error})
                continue
            reply = fault if isinstance(fault, Fault) else self._answered(job.endpoint, line["body"])
            response = {"status_code": reply.status, "request_id": f"r{place}", "body": json.loads(reply.body)}
            (output if reply.status == 200 else errors).append({**said, "response": response})
        job.counts |= {"completed": len(output), "failed": len(errors)}
        lines = {"output": output[::-1], "errors": errors[::-1]}
        job.output, job.errors = (
            self._file("".join(f"{json.dumps(line)}\n" for line in lines[name]), name)["id"] if lines[name] else None
            for name in ("output", "errors")
        )

    def _answered(self, path: str, body: dict[str, Any]) -> Fault:
        self._lock.release()  # `answer` takes it
        try:
            return self.answer(path, body)
        finally:
            self._lock.acquire()

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server, stopping = self, self._stopping

        class Handler(super().handler()):  # type: ignore[misc]
            def do_GET(self) -> None:
                self._reply("GET", b"")

            def do_POST(self) -> None:
                self._reply("POST", self.rfile.read(int(self.headers["Content-Length"])))

            def _reply(self, method: str, content: bytes) -> None:
                path = urlsplit(self.path).path
                sent = server.handled(method, path, content, self.headers.get("Content-Type", ""))
                stopping.wait(sent.stall + server.delay)
                body = sent.body.encode()
                if sent.drop:
                    self.close_connection = True
                    return
                try:
                    self.send_response(sent.status)
                    for name, value in {"Content-Type": "application/json", **sent.headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True

        return Handler
