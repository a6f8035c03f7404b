"""Sweeps by batch jobs at a server that is given by its address, until it is done or killed."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import dspy

import anytime_dspy as ad
from anytime_dspy.batch import sweep_batch
from anytime_dspy.storage.results import ExampleResult
from anytime_dspy.storage.run_folder import RunStore
from anytime_dspy.testing import chat, words
from tests.fakes.http_server import Received, Reply

FINGERPRINT = {"task": "batch"}
BUDGETS = (8, 16, 32)


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


def swept(url: str, folder: Path, count: int, **options: Any) -> list[ExampleResult]:
    lm = lm_at(url)
    try:
        with dspy.context(lm=lm):
            return sweep_batch(
                program(),
                examples(count),
                ad.AnytimeIndex(quality),
                store=RunStore.open(folder, FINGERPRINT),
                **{"poll_seconds": 0.01, "threads": 2, **options},
            )
    finally:
        lm.close()


if __name__ == "__main__":
    swept(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
