"""From chosen pairs to a plain DSPy program: demonstrations for the better traces, instructions for the contrast.

Every DSPy version renders both, so what comes out loads and runs where this library is not installed. One prompt serves
all budgets: it shows a pair for each of them and never says which one is in force, so that one trace may be cut at any.
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
"""Of a reasoning in the contrast, what is shown at most; demonstrations hold it whole."""

HEADING = (
    "Below, each task was reasoned about twice within the same number of tokens. "
    "Reason like the better ones, so that a good answer can be given wherever the reasoning is stopped."
)


class Contrast(NamedTuple):
    """One predictor's calls in two traces of an example.

    Attributes:
        budget: Reasoning tokens, of both traces.
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
    """Returns a copy of the student that is shown the pairs.

    Each predictor gets its own calls in the chosen traces as demonstrations, in the order of the budgets, in place of
    those it had; a predictor that no chosen trace called keeps its own.

    Args:
        student: The program; it is not changed.
        pairs: One a budget.
        contrastive: Whether the instructions also show both reasonings of each pair (PDP); else only the chosen traces
            are shown (PDP(+)).
        instructions: Of each predictor, by its name, in place of its own.
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
    """Returns what a predictor did in the chosen and in the rejected traces, where it was called in both.

    Args:
        pairs: At most one a budget and example.
        predictor: Its name in the program.
    """
    called = [
        (pair, _call_of(pair.chosen, predictor), _call_of(pair.rejected, predictor)) for pair in _by_budget(pairs)
    ]
    return [Contrast(pair.budget, better, worse) for pair, better, worse in called if better and worse]


def demonstration(signature: type[dspy.Signature], call: Call) -> dict[str, Any]:
    """Returns a call as a demonstration: exactly the signature's fields, in its order.

    Args:
        signature: The predictor's.
        call: Its call, with reasoning that ends where the budget did and the answer that was given there.
    """
    values = {**call.inputs, **{name: _plain(value) for name, value in call.outputs.items()}}
    return {name: values.get(name) for name in signature.fields}


def contrast_block(contrasts: Sequence[Contrast], heading: str = HEADING) -> str:
    """Returns the text that sets better against worse reasoning.

    Args:
        contrasts: In the order in which they are to be shown.
        heading: What stands before them.
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
    """The predictor's call in a trace; of several that one which shows the most reasoning."""
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
    """A text on as few lines as it needs, its middle left out where it is long."""
    text = defused(text.strip()) or "(none)"
    if len(text) <= SHOWN_CHARACTERS:
        return text
    half = SHOWN_CHARACTERS // 2
    return f"{text[:half].rstrip()} [...] {text[-half:].lstrip()}"
