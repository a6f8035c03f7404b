"""Preference pairs of a squeezed trace and its original, cut at the same budget.

At the budget that the squeezed trace fits into, the original has usually not reached its answer yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from anytime_dspy.answers import AnswerKey, answer_text
from anytime_dspy.curve import AnytimeCurve
from anytime_dspy.optimizers.judges.base import Judgement
from anytime_dspy.optimizers.pairs.pair import PreferencePair, Side
from anytime_dspy.optimizers.traces.input_use import uses_whole_input
from anytime_dspy.optimizers.traces.squeeze import SqueezedTrace
from anytime_dspy.optimizers.traces.trace import SampledTrace, TraceGroup
from anytime_dspy.optimizers.traces.units import WordsOf

__all__ = ["SURE_VOTE", "squeezed_pairs", "targets"]

SURE_VOTE = 0.6
"""The share of votes that an answer needs to be a target; close votes are often wrong."""


def targets(
    groups: Sequence[TraceGroup], judgement: Judgement, place: int, answer_key: AnswerKey = answer_text
) -> list[SampledTrace]:
    """Returns, for each example, one of the traces with the best final answer.

    These are the traces with the highest score at the largest budget. For a judge that counts votes, the vote must be
    clear.

    Args:
        groups: The traces of each example.
        judgement: The judge's scores of these groups.
        place: Which of them, from 0 for the shortest of those that use the whole input, then of the others; examples
            with fewer are left out.
        answer_key: Makes answers comparable.
    """
    words = WordsOf(group.inputs for group in groups)
    least = SURE_VOTE if judgement.by_votes else 0.0
    found = []
    for group, scores in zip(groups, judgement.scores, strict=True):
        final = [row[-1] or 0.0 for row in scores]
        best = max(final, default=0.0)
        if best <= 0 or best < least:
            continue
        right = [trace for trace, score in zip(group.traces, final, strict=True) if score == best]
        answered = [trace for trace in right if trace.checkpoints[-1].answered]
        order = partial(_order, inputs=group.inputs, words=words, answer_key=answer_key)
        found += sorted(answered, key=order)[place:][:1]
    return found


def _order(
    trace: SampledTrace, inputs: Mapping[str, Any], words: WordsOf, answer_key: AnswerKey
) -> tuple[bool, int, int]:
    partly = not uses_whole_input(trace, inputs, words, answer_key)
    return partly, trace.checkpoints[-1].reasoning_tokens, trace.sample


def squeezed_pairs(
    squeezed: Sequence[SqueezedTrace], groups: Sequence[TraceGroup], judgement: Judgement
) -> list[PreferencePair]:
    """Returns a pair for each squeezed trace, in order: it is chosen, and its original at the same budget rejected.

    If the original has the answer at that budget too, the pair has no gap, and serves as a demonstration only.

    Args:
        squeezed: Squeezed traces of these groups.
        groups: The traces of each example.
        judgement: The judge's scores of these groups.
    """
    known = {
        (trace.example_index, trace.sample): (group, trace, row)
        for group, scores in zip(groups, judgement.scores, strict=True)
        for trace, row in zip(group.traces, scores, strict=True)
    }
    pairs = []
    for one in squeezed:
        group, trace, row = known[one.example_index, one.sample]
        budgets = tuple(checkpoint.budget for checkpoint in trace.checkpoints)
        place = next((at for at, budget in enumerate(budgets) if one.reasoning_tokens <= budget), len(budgets) - 1)
        score = row[-1] or 0.0
        curve = AnytimeCurve(budgets, tuple(score if at >= place else 0.0 for at in range(len(budgets))))
        chosen = Side(
            sample=one.sample,
            style=one.style,
            calls=one.calls,
            outputs={**dict(trace.checkpoints[-1].prediction.items()), **one.calls[-1].outputs},
            score=score,
            curve=curve,
            reasoning_tokens=one.reasoning_tokens,
            complete=True,
            answered=True,
            worked_out=one.merit > 0,
        )
        pairs.append(
            PreferencePair(
                one.example_index,
                group.inputs,
                budgets[place],
                chosen,
                Side.at(trace, row, place),
                judgement.judge,
                prompts=group.prompts,
                squeezed=True,
                merit=one.merit,
                substance=one.substance,
            )
        )
    return pairs
