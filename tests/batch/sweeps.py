"""Sweeps at a server that is given by its address, live and by batch jobs; those may be killed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dspy
import litellm  # noqa: F401 - as slow to import as all else together, and once is enough for processes that are forked
import pytest

import anytime_dspy as ad
from anytime_dspy.batch import BatchJob, sweep_batch
from anytime_dspy.measure import sweep
from anytime_dspy.storage.results import ExampleResult
from anytime_dspy.storage.run_folder import RunStore
from anytime_dspy.testing import chat, words
from tests.fakes.http_server import Received, Reply
from tests.fakes.numbered import timeless

MARKS = [
    pytest.mark.usefixtures("litellm_loop", "collected"),
    pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning"),  # pydantic says this of a type of litellm's
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]

FINGERPRINT = {"task": "batch"}
BUDGETS = (8, 16, 32)
COUNT = 8


def solver(received: Received) -> Reply:
    """Reasons for 3 to 54 words; an answer that is asked for says how much of the reasoning it saw."""
    number = int(re.findall(r"question (\d+)\?", received.prompt)[-1])
    begun = re.search(r"\[\[ ## partial_reasoning ## \]\]\n(.*?)\n\n", received.prompt, re.DOTALL)
    if begun is None:
        return Reply(chat(reasoning=words(3 + 17 * number % 52), answer=f"all of {number}"))
    return Reply(chat(answer=f"{number} after {len(begun[1].split())}"))


def quality(example: dspy.Example, prediction: dspy.Prediction | None) -> float:
    return float(prediction is not None and prediction.answer == f"all of {example.id}")


def examples(count: int) -> list[dspy.Example]:
    return [dspy.Example(id=n, question=f"question {n}?").with_inputs("question") for n in range(count)]


def program(**options: Any) -> ad.Anytime:
    return ad.Anytime(dspy.ChainOfThought("question -> answer"), budgets=BUDGETS, answer_tokens=24, **options)


def lm_at(url: str, model: str = "openai/gpt-4.1", **options: Any) -> dspy.LM:
    return dspy.LM(model, **{"api_base": url, "api_key": "none", "cache": False, "num_retries": 0, **options})


METRIC = ad.AnytimeIndex(quality)


@contextmanager
def using(url: str, **options: Any) -> Iterator[dspy.LM]:
    lm = lm_at(url, **options)
    try:
        with dspy.context(lm=lm):
            yield lm
    finally:
        lm.close()


def live(url: str, folder: Path, subject: ad.Anytime | None = None, **options: Any) -> list[ExampleResult]:
    with using(url, **options):
        return sweep(subject or program(), examples(COUNT), METRIC, store=RunStore.open(folder, FINGERPRINT), threads=4)


def swept(
    url: str,
    folder: Path,
    count: int = COUNT,
    *,
    subject: ad.Anytime | None = None,
    on_job: Callable[[BatchJob], None] | None = None,
    **options: Any,
) -> list[ExampleResult]:
    """Sweeps by batch jobs; further options are those of the LM."""
    store = RunStore.open(folder, FINGERPRINT)
    with using(url, **options):
        return sweep_batch(
            subject or program(), examples(count), METRIC, store=store, threads=2, on_job=on_job, poll_seconds=0.01
        )


def kept(folder: Path) -> list[ExampleResult]:
    return timeless(sorted(RunStore.read(folder).results(), key=lambda result: int(result.id)))
