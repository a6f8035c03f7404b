"""The batch jobs of one run: submits them, waits for them, and resumes them by their ids after a kill."""

from __future__ import annotations

import json
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from anytime_dspy.batch.gateway import BatchReply, BatchRequest
from anytime_dspy.batch.provider import ENDED, BatchProvider
from anytime_dspy.errors import ModelError
from anytime_dspy.storage.jsonl import LineLog, json_line, reading, write_text

__all__ = ["BatchJob", "Jobs"]

logger = logging.getLogger(__name__)

TRIES = 3
"""Jobs that a failing request is put into, at most."""

MOST_REQUESTS = 50_000
MOST_BYTES = 190_000_000
"""OpenAI takes 50,000 requests and a file of 200 MB in one job."""

LOST = "lost"
"""The status of a job that was not created before its process was killed."""


@dataclass(frozen=True)
class BatchJob:
    """One batch job.

    Attributes:
        number: Its number in the run, from 1.
        requests: The number of its requests.
        file: The id of the uploaded file of requests.
        endpoint: The path that the requests are for.
        id: Its id at the provider; None until it is created there.
        status: The last status that the provider reported.
        done: Requests that were answered or failed.
    """

    number: int
    requests: int
    file: str
    endpoint: str
    id: str | None = None
    status: str = "uploaded"
    done: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether it has its final status."""
        return self.status in ENDED or self.status == LOST


class Jobs:
    """The jobs of one run, stored in a folder: `jobs.jsonl`, and the files of each job's requests and replies.

    The id of the uploaded file is stored before a job is created, and the job's id right after that, so that a kill
    loses no job that is paid for.

    Args:
        folder: The folder.
        provider: Where the jobs are submitted.
        poll_seconds: The longest time between two requests for a job's status.
        on_job: Called with a job when it is submitted and whenever its status changes.

    Attributes:
        answers: Replies by the key of their request.

    Raises:
        RunError: The folder cannot be written, or holds other files of these names.
    """

    def __init__(
        self, folder: Path, provider: BatchProvider, poll_seconds: float, on_job: Callable[[BatchJob], None]
    ) -> None:
        self.answers: dict[str, BatchReply] = {}
        self._failures: dict[str, BatchReply] = {}
        self._tries: Counter[str] = Counter()
        self._folder = folder
        self._provider = provider
        self._poll_seconds = poll_seconds
        self._on_job = on_job
        self._log = LineLog(folder / "jobs.jsonl", {"holds": "batch jobs"}, lambda line: BatchJob(**line), "batch job")
        self._jobs = {job.number: job for job in self._log.lines}
        for job in self._jobs.values():
            self._learn(job)

    def finish(self) -> None:
        """Waits for all submitted jobs, also those of a killed process, and reads their replies.

        Raises:
            ModelError: The provider rejects a job or cannot be reached, or a job was cancelled.
        """
        for job in self._under_way():
            if job.id is None:  # killed while it was being created
                self._keep(replace(job, id=(found := self._provider.find(job.file)), status="found" if found else LOST))
        pause = 1.0  # a small job may be done in seconds
        while jobs := self._under_way():
            for job in jobs:
                self._look_at(job)
            if self._under_way():
                time.sleep(min(pause, self._poll_seconds))
                pause *= 2

    def run(self, requests: Mapping[str, BatchRequest]) -> None:
        """Has requests answered by one job per endpoint, or by more within the provider's limits.

        A request that failed and may be retried is missing from `answers` afterwards, until it has failed three times.

        Raises:
            ModelError: The provider rejects a job or cannot be reached, or a job was cancelled.
        """
        for endpoint, lines in _files(requests):
            self._submit(endpoint, lines)
        self.finish()
        self._tries.update(requests.keys())
        for key in requests:
            if key not in self.answers and self._tries[key] >= TRIES:
                self.answers[key] = self._failures.get(key, _failure("it is in no file of replies"))

    def _submit(self, endpoint: str, lines: list[str]) -> None:
        number = len(self._jobs) + 1
        path = self._path(number, "requests")
        write_text(path, "".join(lines))
        job = BatchJob(number, len(lines), self._provider.upload(path), endpoint)
        self._keep(job)
        self._keep(replace(job, id=self._provider.create(job.file, endpoint), status="submitted"))

    def _look_at(self, job: BatchJob) -> None:
        assert job.id is not None  # `finish` looked for it
        progress = self._provider.progress(job.id)
        now = replace(job, status=progress.status, done=progress.done)
        if now.has_ended:
            # The replies are stored first, so that an ended job always has them.
            replies = [self._provider.content(file).rstrip("\n") for file in progress.files]
            write_text(self._path(job.number, "replies"), "".join(f"{lines}\n" for lines in replies if lines))
            self._keep(now)
            self._learn(now)
        elif now != job:
            self._jobs[job.number] = now
            self._on_job(now)
        if progress.status in ("failed", "cancelled"):  # a user may have cancelled it: it is not submitted again
            why = progress.problem or "it does not say why"
            raise ModelError(
                f"batch job {job.id} is {progress.status} ({why}): see to that, and give the same command again, which "
                "keeps what there is"
            )

    def _learn(self, job: BatchJob) -> None:
        """Reads the replies of an ended job; failures that may be retried are kept apart."""
        path = self._path(job.number, "replies")
        if not job.has_ended or not path.exists():
            return
        with reading(path):
            for line in path.read_text(encoding="utf-8").splitlines():
                key, reply = _reply_in(json.loads(line))
                if reply.is_final:
                    self.answers[key] = reply
                else:
                    self._failures[key] = reply

    def _keep(self, job: BatchJob) -> None:
        self._log.append(asdict(job))
        self._jobs[job.number] = job
        self._on_job(job)

    def _under_way(self) -> list[BatchJob]:
        return [job for job in self._jobs.values() if not job.has_ended]

    def _path(self, number: int, what: str) -> Path:
        return self._folder / f"{number:04}-{what}.jsonl"


def _files(requests: Mapping[str, BatchRequest]) -> Iterator[tuple[str, list[str]]]:
    """Yields the endpoint and the lines of each job's file."""
    by_endpoint: dict[str, list[str]] = defaultdict(list)
    for key, request in requests.items():
        line = json_line({"custom_id": key, "method": "POST", "url": request.path, "body": request.body})
        by_endpoint[request.path].append(line)
    for endpoint, lines in by_endpoint.items():
        file: list[str] = []
        size = 0
        for line in lines:
            if file and (len(file) == MOST_REQUESTS or size + len(line.encode()) > MOST_BYTES):
                yield endpoint, file
                file, size = [], 0
            file.append(line)
            size += len(line.encode())
        yield endpoint, file


def _reply_in(line: Mapping[str, Any]) -> tuple[str, BatchReply]:
    response = line.get("response")
    if response:
        return line["custom_id"], BatchReply(int(response["status_code"]), response["body"])
    error = line["error"]
    return line["custom_id"], _failure(f"{error.get('message') or error.get('code')}")


def _failure(reason: str) -> BatchReply:
    message = f"The batch gave no answer: {reason}"
    return BatchReply(424, {"error": {"message": message, "type": "batch", "code": None}})
