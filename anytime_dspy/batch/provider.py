"""A provider's files and batches API, called through litellm, with retries."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import dspy

from anytime_dspy.errors import ModelError

__all__ = ["BatchProvider", "JobProgress"]

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

TRIES = 8
LISTED = 100
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(frozen=True)
class JobProgress:
    """The progress of a job.

    Attributes:
        status: The status that the provider reports.
        done: Requests that were answered or failed.
        files: The ids of the files of replies and of failures, if there are any yet.
        problem: Why the provider rejected the job; "" if it did not.
    """

    status: str
    done: int = 0
    files: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class BatchProvider:
    """A server that speaks OpenAI's files and batches API.

    A call that fails because of a rate limit, a server error or a broken connection is retried up to seven times, after
    one second, two, four, and so on.

    Attributes:
        options: Its address and key, unless they come from the environment.
        longest_wait: The longest time between two tries, in seconds.
    """

    options: dict[str, Any] = field(repr=False)
    longest_wait: float

    @classmethod
    def of(cls, lm: dspy.LM, longest_wait: float) -> BatchProvider:
        """Returns an LM's provider."""
        named = {
            "api_base": lm.kwargs.get("api_base") or lm.kwargs.get("base_url"),
            "api_key": lm.kwargs.get("api_key"),
            "organization": lm.kwargs.get("organization"),
        }
        return cls({name: value for name, value in named.items() if value}, longest_wait)

    def upload(self, path: Path) -> str:
        """Uploads a job's file of requests and returns the file's id.

        Raises:
            ModelError: The provider rejects the file, or cannot be reached.
        """
        import litellm

        content = path.read_bytes()
        return str(self._made(lambda: litellm.create_file(file=(path.name, content), purpose="batch", **self._sent)).id)

    def create(self, file: str, endpoint: str) -> str:
        """Creates a job for an uploaded file and returns its id. A retry first looks for the job of the failed try.

        Raises:
            ModelError: The provider rejects the job, or cannot be reached.
        """
        import litellm

        tries = 0

        def create() -> str:
            nonlocal tries
            tries += 1
            known = self.find(file) if tries > 1 else None
            made = known or litellm.create_batch(
                completion_window="24h", endpoint=endpoint, input_file_id=file, max_retries=0, **self._sent
            )
            return str(getattr(made, "id", made))

        return self._made(create)

    def find(self, file: str) -> str | None:
        """Returns the id of a file's job; None if it is not among the latest hundred jobs.

        Raises:
            ModelError: The provider cannot be reached.
        """
        import litellm

        listed = self._made(lambda: litellm.list_batches(limit=LISTED, **self._sent))
        return next((str(batch.id) for batch in listed.data if batch.input_file_id == file), None)

    def progress(self, job: str) -> JobProgress:
        """Returns the progress of a job.

        Raises:
            ModelError: The provider does not know it, or cannot be reached.
        """
        import litellm

        batch = self._made(lambda: litellm.retrieve_batch(batch_id=job, **self._sent))
        counts = batch.request_counts
        problems = [f"{problem.message}" for problem in getattr(batch.errors, "data", None) or ()]
        return JobProgress(
            status=str(batch.status),
            done=(counts.completed + counts.failed) if counts else 0,
            files=tuple(name for name in (batch.output_file_id, batch.error_file_id) if name),
            problem="; ".join(problems),
        )

    def content(self, file: str) -> str:
        """Returns the content of a file.

        Raises:
            ModelError: The provider does not have it, or cannot be reached.
        """
        import litellm

        return str(self._made(lambda: litellm.file_content(file_id=file, **self._sent)).content.decode())

    @property
    def _sent(self) -> dict[str, Any]:
        return {"custom_llm_provider": "openai", **self.options}

    def _made(self, call: Callable[[], Result]) -> Result:
        from openai import APIConnectionError  # litellm's client, and as slow to import

        for attempt in range(TRIES):
            try:
                return call()
            except ModelError:
                raise
            except Exception as error:  # litellm raises whatever its client raises
                status = getattr(error, "status_code", None) or 0
                may_pass = isinstance(error, APIConnectionError) or status in (408, 409, 429) or status >= 500
                if attempt + 1 == TRIES or not may_pass:
                    said = " ".join(str(error).split())
                    raise ModelError(
                        f"the provider's batch API refuses ({said}): see to that, and give the same command again; "
                        "jobs that were submitted go on meanwhile"
                    ) from error
                delay = min(2.0**attempt, self.longest_wait)
                logger.info("The batch API says %s; tried again in %.0f s", error, delay)
                time.sleep(delay)
        raise AssertionError("unreachable")
