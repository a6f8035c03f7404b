"""Instruction styles that the LM proposes: it may know better what makes it brief."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.optimizers.prompts.ask_lm import Proposals, distinct, listed, written
from anytime_dspy.optimizers.traces.styles import Style

__all__ = ["proposed_styles"]

STYLE_TOKENS = 64
"""The token limit per proposal."""

LONGEST = 300
"""The largest number of characters of a proposal; a longer line is not one short sentence."""


class ProposeStyles(dspy.Signature):
    """A model works under these orders. Its reasoning may be stopped at any of the budgets and must end in an answer.

    Propose sentences to add to the orders, each a different way to reason so that a good answer can be given early. Do
    not repeat the orders.
    """

    orders: str = dspy.InputField(desc="what the model is told")
    budgets: str = dspy.InputField(desc="the tokens after which it may be stopped")
    count: int = dspy.InputField(desc="how many sentences are wanted")
    sentences: str = dspy.OutputField(desc="one short sentence a line, each begins with '- '")


def proposed_styles(student: Anytime, k: int) -> Proposals[Style]:
    """Asks the LM of the surrounding context, in one call, for styles to sample beside `STYLES`.

    If the call fails, there are no proposals.

    Args:
        student: The program to be sampled.
        k: The number of proposals.
    """
    instructions = "\n\n".join(predictor.signature.instructions for predictor in student.predictors())
    asked = {"orders": instructions, "budgets": ", ".join(map(str, student.budgets)), "count": k}
    one = written(ProposeStyles, asked, k * STYLE_TOKENS)
    # Small models may list the budgets instead: a line without a letter is not a sentence.
    short = [line for line in listed(one.text) if len(line) <= LONGEST and any(map(str.isalpha, line))]
    # A sentence that repeats the instructions is not a style.
    sentences = distinct(short, known=instructions.splitlines())[:k]
    return Proposals(
        tuple(Style(f"proposed {place}", _adding(line)) for place, line in enumerate(sentences, start=1)), one.usage
    )


def _adding(sentence: str) -> Callable[[str, Sequence[int]], str]:
    return lambda instructions, budgets: f"{instructions}\n\n{sentence}"
