"""Run folders made by hand: what a sweep leaves, without an LM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dspy
import numpy as np

from anytime_dspy.checkpoint import Checkpoint, Usage
from anytime_dspy.storage.results import ExampleResult, result_from
from anytime_dspy.storage.run_folder import RunStore

BUDGETS = (16, 32, 64, 128)
FINGERPRINT: dict[str, Any] = {
    "task": "sums",
    "task version": "1",
    "scorer": "exact",
    "program": "plain",
    "model": "made/by-hand",
    "budgets": BUDGETS,
}
WORDS = "First I add the two numbers that the question names, then I check the sum once more before I answer. "


def made_run(
    folder: Path,
    rates: tuple[float, ...] = (0.2, 0.4, 0.6, 0.7),
    *,
    n: int = 30,
    budgets: tuple[int, ...] = BUDGETS,
    seed: int = 0,
    change: Mapping[str, Any] | None = None,
    question: Callable[[int], str] = "What is {0} + {0}?".format,
    reasoning: str = WORDS,
) -> Path:
    """Writes a run whose answers are right at the given rates, and returns its folder."""
    store = RunStore.open(folder, {**FINGERPRINT, "budgets": budgets, **(change or {})})
    rng = np.random.default_rng(seed)
    for number in range(n):
        store.append(_result(number, rng, dict(zip(budgets, rates, strict=True)), question(number), reasoning))
    return folder


def _result(
    number: int, rng: np.random.Generator, rates: Mapping[int, float], question: str, reasoning: str
) -> ExampleResult:
    right = [bool(rng.random() < rate) for rate in rates.values()]
    text = reasoning * 8
    checkpoints = [
        Checkpoint(
            budget=budget,
            prediction=dspy.Prediction(
                reasoning=text[: budget * 4], answer=str(2 * number if is_right else 2 * number + 1)
            ),
            reasoning_tokens=budget,
            answer_tokens=5,
            forced=budget < max(rates),
            answered=True,
            usage=Usage(200 + budget, budget, 5, 0, 2, 0.5, 0.0001 * budget),
        )
        for budget, is_right in zip(rates, right, strict=True)
    ]
    trace = [{"predictor": "solve", "reasoning": text[: max(rates) * 4], "outputs": {}, "forced": False}]
    return result_from(f"sum-{number}", {"question": question}, checkpoints, list(map(float, right)), trace)
