"""What an anytime curve says in words, for optimisers that read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from anytime_dspy.checkpoint import AnswerState
from anytime_dspy.curve import AnytimeCurve

__all__ = ["feedback_on"]


_STATES: Mapping[AnswerState, str] = {
    "unreadable": "no answer could be read",
    "censored": "the answer was cut off at its own allowance of tokens",
}


def feedback_on(
    curve: AnytimeCurve, q_max: float = 1.0, states: Sequence[AnswerState] = (), said: str | None = None
) -> str:
    """Returns at which budgets a program's answers were good, and from where its reasoning should have led to one.

    Args:
        curve: Of one example.
        q_max: The ceiling of the quality scale.
        states: What the answers are, one a budget.
        said: What the quality function itself said of the last answer.

    >>> print(feedback_on(AnytimeCurve((16, 32), (1.0, 1.0))))
    Answer quality, where reasoning stops at 16 tokens: 1; 32 tokens: 1 (at most 1). It is best from the start.
    """
    points = "; ".join(f"{b} tokens: {q:g}" for b, q in zip(curve.budgets, curve.qualities, strict=True))
    words = [] if said is None else [f"Of its last answer: {said}"]
    told = f"Answer quality, where reasoning stops at {points} (at most {q_max:g})."
    for state, meaning in _STATES.items():
        budgets = [str(budget) for budget, one in zip(curve.budgets, states, strict=False) if one == state]
        told += f" At {', '.join(budgets)} tokens {meaning}." if budgets else ""
    best = max(curve.qualities)
    if best == 0:
        return " ".join([told, "No answer was right: the reasoning goes wrong, or does not get far enough.", *words])
    first = curve.qualities.index(best)
    advice = []
    if first:
        advice.append(
            f"The reasoning leads to its best answer only after {curve.budgets[first - 1]} tokens: "
            "bring what decides the answer earlier, and leave out the rest."
        )
    lost = [b for b, q in zip(curve.budgets, curve.qualities, strict=True) if b > curve.budgets[first] and q < best]
    if lost:
        advice.append(f"It had a better answer before, and lost it by {lost[0]} tokens: stop once the answer is known.")
    return " ".join([told, *(advice or ["It is best from the start."]), *words])
