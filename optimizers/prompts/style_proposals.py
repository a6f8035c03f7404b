"""Instruction styles that the LM proposes itself: it may know better than we do how it is made to be brief."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.checkpoint import Usage
from anytime_dspy.optimizers.prompts.ask_lm import distinct, listed, written
from anytime_dspy.optimizers.traces.styles import Style

__all__ = ["ProposedStyles", "proposed_styles"]

STYLE_TOKENS = 64
"""What each proposal may take."""

LONGEST = 300
"""Characters of a proposal; a line that is longer is no short sentence but something else."""


class ProposeStyles(dspy.Signature):
    """A model works under these orders. Its reasoning may be stopped at any of the budgets and must end in an answer.

    Propose sentences to add to the orders, each a different way to reason so that a good answer can be given early. Do
    not repeat the orders.
    """

    orders: str = dspy.InputField(desc="what the model is told")
    budgets: str = dspy.InputField(desc="the tokens after which it may be stopped")
    count: int = dspy.InputField(desc="how many sentences are wanted")
    sentences: str = dspy.OutputField(desc="one short sentence a line, each begins with '- '")


@dataclass(frozen=True)
class ProposedStyles:
    """What was proposed, and what it cost.

    Attributes:
        styles: Different ones, perhaps fewer than were wanted, perhaps none.
        usage: Of the one call.
    """

    styles: tuple[Style, ...]
    usage: Usage


def proposed_styles(student: Anytime, k: int) -> ProposedStyles:
    """Has the surrounding LM propose ways to reason, in one call, to be sampled beside `STYLES`.

    Where the LM fails to write any, there are none: sampling has its own styles.

    Args:
        student: The program that is to be sampled.
        k: Proposals wanted.
    """
    instructions = "\n\n".join(predictor.signature.instructions for predictor in student.predictors())
    asked = {"orders": instructions, "budgets": ", ".join(map(str, student.budgets)), "count": k}
    one = written(ProposeStyles, asked, k * STYLE_TOKENS)
    # Small models list the budgets: a line without a letter is no sentence.
    short = [line for line in listed(one.text) if len(line) <= LONGEST and any(map(str.isalpha, line))]
    # What only says the instructions again is no style of its own.
    sentences = distinct(short, known=instructions.splitlines())[:k]
    return ProposedStyles(
        tuple(Style(f"proposed {place}", _adding(line)) for place, line in enumerate(sentences, start=1)), one.usage
    )


def _adding(sentence: str) -> Callable[[str, Sequence[int]], str]:
    return lambda instructions, budgets: f"{instructions}\n\n{sentence}"
