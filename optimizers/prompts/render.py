"""Renders pairs into a plain DSPy program: demonstrations for the chosen traces, instructions for the contrast.

Every DSPy version renders both, so the compiled program loads and runs where this library is not installed. One prompt
serves all budgets: it does not name the current budget, so that one trace can be cut at any of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.calls.markers import defused
from anytime_dspy.calls.media import shown
from anytime_dspy.checkpoint import Call
from anytime_dspy.optimizers.pairs.pair import PreferencePair, Side

__all__ = ["Contrast", "Instructions", "contrast_block", "contrasts", "demonstration", "prompted"]

Instructions = Mapping[str, str]
"""The instructions of each predictor, by its name."""

SHOWN_CHARACTERS = 2000
"""The largest number of characters of a reasoning in the contrast; demonstrations contain it in full."""

HEADING = (
    "Below, each task was reasoned about twice within the same number of tokens. "
    "Reason like the better ones, so that a good answer can be given wherever the reasoning is stopped."
)


class Contrast(NamedTuple):
    """One predictor's calls in two traces of an example.

    Attributes:
        budget: The budget of both traces, in reasoning tokens.
        better: The call in the chosen trace.
        worse: The call in the rejected one.
    """

    budget: int
    better: Call
    worse: Call


def prompted(
    student: Anytime,
    pairs: Sequence[PreferencePair],
    *,
    contrastive: bool,
    instructions: Mapping[str, str] | None = None,
) -> Anytime:
    """Returns a copy of the student with pairs in its prompt.

    The demonstrations of each predictor are replaced by its calls in the chosen traces, ordered by budget. A predictor
    without such calls keeps its own demonstrations.

    Args:
        student: The program; it is not changed.
        pairs: The pairs to show.
        contrastive: Whether the instructions also show both reasonings of each pair (PDP), or only the demonstrations
            are shown (PDP(+)).
        instructions: New instructions of each predictor, by its name; by default its own.
    """
    program: Anytime = student.deepcopy()
    for name, predictor in program.named_predictors():
        if instructions:
            predictor.signature = predictor.signature.with_instructions(instructions[name])
        better = [_call_of(pair.chosen, name) for pair in _by_budget(pairs)]
        demos = [demonstration(predictor.signature, call) for call in better if call is not None]
        if not demos:
            continue
        predictor.demos = demos
        compared = contrasts(pairs, name)
        if contrastive and compared:
            contrasting = f"{predictor.signature.instructions}\n\n{contrast_block(compared)}"
            predictor.signature = predictor.signature.with_instructions(contrasting)
    return program


def contrasts(pairs: Sequence[PreferencePair], predictor: str) -> list[Contrast]:
    """Returns a predictor's calls in the chosen and rejected traces of pairs in which both have one.

    Args:
        pairs: The pairs.
        predictor: Its name in the program.
    """
    called = [
        (pair, _call_of(pair.chosen, predictor), _call_of(pair.rejected, predictor)) for pair in _by_budget(pairs)
    ]
    return [Contrast(pair.budget, better, worse) for pair, better, worse in called if better and worse]


def demonstration(signature: type[dspy.Signature], call: Call) -> dict[str, Any]:
    """Returns a call as a demonstration: exactly the signature's fields, in its order.

    Args:
        signature: The predictor's signature.
        call: Its call, with reasoning cut at the budget, and the answer there.
    """
    values = {**call.inputs, **{name: _plain(value) for name, value in call.outputs.items()}}
    return {name: values.get(name) for name in signature.fields}


def contrast_block(contrasts: Sequence[Contrast], heading: str = HEADING) -> str:
    """Returns the text that contrasts better and worse reasoning.

    Args:
        contrasts: The contrasts, in order.
        heading: The text before them.
    """
    sections = [
        f"--- within {budget} tokens ---\n"
        f"Task: {_shown(_inputs_text(better.inputs))}\n"
        f"Better reasoning: {_shown(better.reasoning)}\n"
        f"Worse reasoning: {_shown(worse.reasoning)}"
        for budget, better, worse in contrasts
    ]
    return "\n\n".join([heading, *sections])


def _by_budget(pairs: Sequence[PreferencePair]) -> list[PreferencePair]:
    return sorted(pairs, key=lambda pair: pair.budget)


def _call_of(side: Side, predictor: str) -> Call | None:
    """The predictor's call in a trace; of several the one with the most reasoning."""
    calls = [call for call in side.calls if call.predictor == predictor]
    return max(calls, key=lambda call: call.reasoning_tokens, default=None)


def _plain(value: Any) -> Any:
    if isinstance(value, dspy.Reasoning):
        value = value.content
    return defused(value) if isinstance(value, str) else value


def _inputs_text(inputs: Mapping[str, Any]) -> str:
    if len(inputs) == 1:
        return shown(next(iter(inputs.values())))
    return "; ".join(f"{name}: {shown(value)}" for name, value in inputs.items())


def _shown(text: str) -> str:
    """A text whose middle is left out if it is long."""
    text = defused(text.strip()) or "(none)"
    if len(text) <= SHOWN_CHARACTERS:
        return text
    half = SHOWN_CHARACTERS // 2
    return f"{text[:half].rstrip()} [...] {text[-half:].lstrip()}"
