"""What sampling gives: traces, each with an answer at every budget."""

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
        example_index: The example's place in the training set.
        style: The name of the style that it was sampled under.
        sample: Which of the example's samples it is, from 0.
        seed: What told this sample's calls apart: their rollout id, and their seed where the engine takes one.
        checkpoints: One a budget, in ascending order.
        usage: What it really cost: the run, and the answers forced at the budgets that it did not end within.
    """

    example_index: int
    style: str
    sample: int
    seed: int
    checkpoints: tuple[Checkpoint, ...]
    usage: Usage


@dataclass(frozen=True)
class TraceGroup:
    """The traces of one example: what a judge compares with each other.

    Attributes:
        example_index: The example's place in the training set.
        instructions: What the student is told to do.
        inputs: The example's input fields.
        traces: At least one, in the order of their samples.
        prompts: What the student was asked first, by predictor; see `prompts_of`.
    """

    example_index: int
    instructions: str
    inputs: Mapping[str, Any]
    traces: tuple[SampledTrace, ...]
    prompts: Mapping[str, Prompt] = field(default_factory=dict)


def group_traces(
    student: Anytime, trainset: Sequence[dspy.Example], traces: Sequence[SampledTrace]
) -> list[TraceGroup]:
    """Puts the traces of each example together; an example without traces has no group.

    Args:
        student: The program that was sampled, for its instructions and prompts.
        trainset: The examples.
        traces: As `sample_traces` returned them.
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
