"""What a stopping rule would have saved in a finished sweep, and what that would have cost in quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from anytime_dspy.answers import answer_text, key_at
from anytime_dspy.statistics.paired import Difference
from anytime_dspy.statistics.summary import index_difference
from anytime_dspy.stopping import Converged
from anytime_dspy.storage.results import ExampleResult

__all__ = ["EarlyStopping", "early_stopping", "stopped_by"]


@dataclass(frozen=True)
class EarlyStopping:
    """The effect that a stopping rule would have had on a finished sweep.

    Attributes:
        patience: The rule's patience.
        stopped: Share of items that it would have stopped before the largest budget.
        tokens: Share of all reasoning tokens that it would have saved.
        quality: The change of the Anytime Index (committed), paired by item, with a 95% interval.
    """

    patience: int
    stopped: float
    tokens: float
    quality: Difference

    def __str__(self) -> str:
        """Returns the effect in one line.

        >>> print(EarlyStopping(2, 0.75, 0.4, Difference(-0.01, -0.03, 0.004, 60, 0.3)))
        Stopping at 2 equal answers running: 40% fewer reasoning tokens, committed index -0.010 [-0.030, +0.004]
        """
        q = self.quality
        return (
            f"Stopping at {self.patience} equal answers running: {self.tokens:.0%} fewer reasoning tokens, "
            f"committed index {q.mean:+.3f} [{q.low:+.3f}, {q.high:+.3f}]"
        )


def early_stopping(results: Sequence[ExampleResult], rule: Converged, *, seed: int = 0) -> EarlyStopping | None:
    """Returns the effect that a stopping rule would have had on a finished sweep.

    Args:
        results: The sweep's results; those with an error are left out.
        rule: The rule.
        seed: The seed of the interval.

    Returns:
        The effect; None if no reasoning token was spent.
    """
    whole = [result for result in results if result.points]
    spent = sum(result.points[-1].reasoning_tokens for result in whole)
    if not spent:
        return None
    ended = [stopped_by(result, rule) for result in whole]
    return EarlyStopping(
        patience=rule.patience,
        stopped=sum(early != late for early, late in zip(ended, whole, strict=True)) / len(whole),
        tokens=1 - sum(result.points[-1].reasoning_tokens for result in ended) / spent,
        quality=index_difference(whole, ended, best_so_far=False, seed=seed),
    )


def stopped_by(result: ExampleResult, rule: Converged) -> ExampleResult:
    """Returns a result as it would be under the rule: later budgets carry the answer forward at no cost."""
    answers = [key_at(point, answer_text) for point in result.points]
    ends = (number for number in range(1, len(answers)) if rule.is_met(answers[:number]))
    end = next(ends, len(answers))
    carried = tuple(replace(result.points[end - 1], budget=point.budget) for point in result.points[end:])
    return replace(result, points=result.points[:end] + carried)
