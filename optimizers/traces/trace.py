"""Sampled traces, each with an answer at every budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.checkpoint import Checkpoint, Usage
from anytime_dspy.optimizers.traces.chat_prompt import Prompt, prompts_of

__all__ = ["SampledTrace", "TraceGroup", "group_traces"]


@dataclass(frozen=True)
class SampledTrace:
    """One run of the student on one training example, cut and answered at every budget.

    Attributes:
        example_index: The index of the example in the training set.
        style: The name of its instruction style.
        sample: The number of the sample, from 0.
        seed: The rollout id of its calls, and their seed if the engine takes one.
        checkpoints: One per budget, in ascending order.
        usage: The real cost: the run, and the forced answers at budgets that it exceeded.
    """

    example_index: int
    style: str
    sample: int
    seed: int
    checkpoints: tuple[Checkpoint, ...]
    usage: Usage


@dataclass(frozen=True)
class TraceGroup:
    """The traces of one example, which a judge compares.

    Attributes:
        example_index: The index of the example in the training set.
        instructions: The student's instructions.
        inputs: The example's input fields.
        traces: At least one, ordered by sample.
        prompts: The prompt of each predictor's first call; see `prompts_of`.
    """

    example_index: int
    instructions: str
    inputs: Mapping[str, Any]
    traces: tuple[SampledTrace, ...]
    prompts: Mapping[str, Prompt] = field(default_factory=dict)


def group_traces(
    student: Anytime, trainset: Sequence[dspy.Example], traces: Sequence[SampledTrace]
) -> list[TraceGroup]:
    """Groups traces by example; an example without traces has no group.

    Args:
        student: The sampled program, for its instructions and prompts.
        trainset: The examples.
        traces: The result of `sample_traces`.
    """
    instructions = "\n\n".join(predictor.signature.instructions for predictor in student.predictors())
    found: dict[int, list[SampledTrace]] = {}
    for trace in traces:
        found.setdefault(trace.example_index, []).append(trace)
    return [
        TraceGroup(
            index,
            instructions,
            trainset[index].inputs().toDict(),
            tuple(group),
            prompts_of(student, [trace.checkpoints[-1].calls for trace in group]),
        )
        for index, group in sorted(found.items())
    ]
