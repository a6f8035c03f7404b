"""Preference pairs from squeezed traces: the short one against the long one that it was made from, cut as short.

At the budget that the squeezed trace fits into, its original has not come to its answer yet.
"""

from __future__ import annotations

from collections.abc import Sequence

from anytime_dspy.curve import AnytimeCurve
from anytime_dspy.optimizers.judges.base import Judgement
from anytime_dspy.optimizers.pairs.pair import PreferencePair, Side
from anytime_dspy.optimizers.traces.squeeze import SqueezedTrace
from anytime_dspy.optimizers.traces.trace import SampledTrace, TraceGroup

__all__ = ["SURE_VOTE", "squeezed_pairs", "targets"]

SURE_VOTE = 2 / 3
"""The share of the votes that an answer needs to be a target: closer votes are where the noise is."""


def targets(groups: Sequence[TraceGroup], judgement: Judgement, place: int) -> list[SampledTrace]:
    """Returns of each example one of the traces whose answers are worth teaching.

    They are those that the judge found best of their example at the largest budget; where a judge counts votes, the
    vote must be clear.

    Args:
        groups: The traces of each example.
        judgement: A judge's scores of these very groups.
        place: Which one, from 0 for the shortest; examples that have fewer are left out.
    """
    least = SURE_VOTE if judgement.by_votes else 0.0
    found = []
    for group, scores in zip(groups, judgement.scores, strict=True):
        final = [row[-1] or 0.0 for row in scores]
        best = max(final, default=0.0)
        if best <= 0 or best < least:
            continue
        right = [trace for trace, score in zip(group.traces, final, strict=True) if score == best]
        complete = [trace for trace in right if trace.checkpoints[-1].answered]
        found += sorted(complete, key=lambda trace: (trace.checkpoints[-1].reasoning_tokens, trace.sample))[place:][:1]
    return found


def squeezed_pairs(
    squeezed: Sequence[SqueezedTrace], groups: Sequence[TraceGroup], judgement: Judgement
) -> list[PreferencePair]:
    """Returns a pair for each squeezed trace, in their order: it is chosen, its original at the same budget rejected.

    A pair has no gap where the original had its answer by then too: its chosen trace is a demonstration all the same.

    Args:
        squeezed: Traces of these groups.
        groups: The traces of each example.
        judgement: A judge's scores of these very groups.
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
        long = trace.checkpoints[place]
        rejected = Side(
            sample=trace.sample,
            style=trace.style,
            calls=long.calls,
            outputs=dict(long.prediction.items()),
            score=row[place] or 0.0,
            curve=AnytimeCurve(budgets, tuple(value or 0.0 for value in row)),
            reasoning_tokens=long.reasoning_tokens,
            complete=not long.cut,
            answered=long.answered,
            worked_out=False,
        )
        pairs.append(
            PreferencePair(
                one.example_index,
                group.inputs,
                budgets[place],
                chosen,
                rejected,
                judgement.judge,
                prompts=group.prompts,
                squeezed=True,
                merit=one.merit,
                substance=one.substance,
            )
        )
    return pairs
