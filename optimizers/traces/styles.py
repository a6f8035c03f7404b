"""Instruction styles: the same student, told to reason in different ways.

Traces that differ only in their seed are about equally long, so choosing among them cannot teach brevity. One more
sentence in the instructions changes how the model spends its tokens, and gives pairs something to differ in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from anytime_dspy.budgets import middle

__all__ = ["PLAIN", "STYLES", "Style"]


@dataclass(frozen=True)
class Style:
    """One way to reason.

    Attributes:
        name: Its name in traces and reports.
        render: Maps a predictor's own instructions and the student's budgets (reasoning tokens, increasing) to the
            instructions for sampling.

    Example:
        >>> brief = next(style for style in STYLES if style.name == "brief")
        >>> print(brief.render("Solve it.", (16, 32, 64)))
        Solve it.
        <BLANKLINE>
        Think in at most 32 tokens: keep only what the answer depends on.
    """

    name: str
    render: Callable[[str, Sequence[int]], str]


def _plain(instructions: str, budgets: Sequence[int]) -> str:
    return instructions


def _brief(instructions: str, budgets: Sequence[int]) -> str:
    return f"{instructions}\n\nThink in at most {middle(budgets)} tokens: keep only what the answer depends on."


def _terse(instructions: str, budgets: Sequence[int]) -> str:
    return (
        f"{instructions}\n\nThink in one short line of notes or equations, without sentences: "
        "every step that changes the answer, and nothing else."
    )


PLAIN = Style("plain", _plain)
"""The student's own instructions."""

STYLES = (PLAIN, Style("brief", _brief), Style("terse", _terse))
"""The default styles."""
