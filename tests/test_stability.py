"""Where answers settle and how often they turn worse, on runs made by hand."""

from __future__ import annotations

import dspy
import pytest

from anytime_dspy.checkpoint import Checkpoint, Usage
from anytime_dspy.statistics.stability import Stability, settled_at, stability
from anytime_dspy.storage.results import ExampleResult, result_from

BUDGETS = (16, 32, 64)


def item(answers: tuple[str | None, ...], qualities: tuple[float, ...]) -> ExampleResult:
    checkpoints = [
        Checkpoint(
            budget=budget,
            prediction=dspy.Prediction(reasoning=f"{budget} tokens of it", answer=answer),
            reasoning_tokens=budget,
            answer_tokens=3,
            forced=True,
            answered=answer is not None,
            usage=Usage(),
        )
        for budget, answer in zip(BUDGETS, answers, strict=True)
    ]
    return result_from(",".join(map(str, answers)), {}, checkpoints, qualities)


@pytest.mark.parametrize(
    ("answers", "budget"),
    [
        (("7", "7", "7"), 16),
        (("7", " 7 ", "7"), 16),
        (("6", "7", "7"), 32),
        (("7", "6", "7"), 64),
        (("7", "7", "6"), 64),
        ((None, None, "7"), 64),
        ((None, None, None), 16),
    ],
)
def test_an_answer_has_settled_where_it_no_longer_changes(answers, budget):
    assert settled_at(item(answers, (0.0, 0.0, 0.0))) == budget


def test_a_run_says_how_often_more_thinking_spoilt_an_answer():
    run = [
        item(("7", "7", "7"), (1.0, 1.0, 1.0)),
        item(("7", "6", "7"), (1.0, 0.0, 1.0)),  # worse for a while
        item(("6", "7", "6"), (0.0, 1.0, 0.0)),  # right, and lost again
        item(("5", "6", "7"), (0.0, 0.0, 1.0)),
    ]
    assert stability(run) == Stability(settled_mean=52.0, settled_median=64.0, worsened=0.5, lost=0.25)
