"""The files and batches calls of litellm, in OpenAI's shape: what a provider is asked, and how its faults are met."""

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
    """How far a provider is with a job.

    Attributes:
        status: As the provider says it.
        done: Requests that have come to an end.
        files: The files of what was answered and of what failed, as far as there are such.
        problem: Why the provider refused the job as a whole.
    """

    status: str
    done: int = 0
    files: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class BatchProvider:
    """A server that speaks OpenAI's files and batches API.

    A call that meets a limit of rates, an error of the server's or a broken connection is made again, up to eight
    times, after one second, two, four, and so on.

    Attributes:
        options: Its address and key where they are not those of the environment.
        longest_wait: The most seconds between two tries.
    """

    options: dict[str, Any] = field(repr=False)
    longest_wait: float

    @classmethod
    def of(cls, lm: dspy.LM, longest_wait: float) -> BatchProvider:
        """Returns the provider that an LM calls."""
        named = {
            "api_base": lm.kwargs.get("api_base") or lm.kwargs.get("base_url"),
            "api_key": lm.kwargs.get("api_key"),
            "organization": lm.kwargs.get("organization"),
        }
        return cls({name: value for name, value in named.items() if value}, longest_wait)

    def upload(self, path: Path) -> str:
        """Uploads a job's requests and returns the file's id.

        Raises:
            ModelError: The provider refuses the file, or cannot be reached.
        """
        import litellm

        content = path.read_bytes()
        return str(self._made(lambda: litellm.create_file(file=(path.name, content), purpose="batch", **self._sent)).id)

    def create(self, file: str, endpoint: str) -> str:
        """Starts a job on an uploaded file and returns its id; where a try got through unnoticed, that one's id.

        Raises:
            ModelError: The provider refuses the job, or cannot be reached.
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
        """Returns the id of the job that was started on a file, if there is one among the latest hundred.

        Raises:
            ModelError: The provider cannot be reached.
        """
        import litellm

        listed = self._made(lambda: litellm.list_batches(limit=LISTED, **self._sent))
        return next((str(batch.id) for batch in listed.data if batch.input_file_id == file), None)

    def progress(self, job: str) -> JobProgress:
        """Asks how far a job is.

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
        """Returns what a file holds.

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
            except Exception as error:  # litellm passes on whatever its client raises
                status = getattr(error, "status_code", None) or 0
                may_pass = isinstance(error, APIConnectionError) or status in (408, 409, 429) or status >= 500
                if attempt + 1 == TRIES or not may_pass:
                    said = " ".join(str(error).split())
                    raise ModelError(
                        f"The provider's batch API refuses ({said}): see to that, and give the same command again; "
                        "jobs that were submitted go on meanwhile."
                    ) from error
                delay = min(2.0**attempt, self.longest_wait)
                logger.info("The batch API says %s; tried again in %.0f s", error, delay)
                time.sleep(delay)
        raise AssertionError("unreachable")
