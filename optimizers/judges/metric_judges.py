"""The judges "checked" and "metric": the metric's quality, without or with labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dspy

from anytime_dspy.errors import DataError
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.optimizers.judges.base import GroupScores, Judgement, Reliability
from anytime_dspy.optimizers.traces.trace import TraceGroup

__all__ = ["Checked", "Gold"]


@dataclass(frozen=True)
class Checked:
    """Scores a checkpoint by a quality that needs no labels, such as whether a plan satisfies its constraints.

    The quality function gets only the example's inputs, so it cannot use a label. If it needs labels, use `Gold`.

    Attributes:
        metric: The metric with the quality function.
    """

    metric: AnytimeIndex

    @property
    def name(self) -> str:
        """Its name in reports."""
        return "checked"

    def reliability(self, groups: Sequence[TraceGroup]) -> Reliability:
        """Returns 1: a check always gives the same result."""
        return Reliability(self.name, 1.0, "the quality is checked, from the inputs alone")

    def scores(self, groups: Sequence[TraceGroup]) -> Judgement:
        """Scores every trace at every checkpoint, without LM calls."""
        examples = (dspy.Example(**group.inputs).with_inputs(*group.inputs) for group in groups)
        scores = (_scored(self.metric, example, group) for example, group in zip(examples, groups, strict=True))
        return Judgement(self.name, tuple(scores))


@dataclass(frozen=True)
class Gold:
    """Scores a checkpoint by its gold quality, for a compile with labels.

    Attributes:
        metric: The metric with the quality function.
        trainset: The examples with their labels, in the order in which the traces were sampled.
    """

    metric: AnytimeIndex
    trainset: Sequence[dspy.Example]

    @property
    def name(self) -> str:
        """Its name in reports."""
        return "metric"

    def reliability(self, groups: Sequence[TraceGroup]) -> Reliability:
        """Returns 1: labels are the reference for all other judges."""
        return Reliability(self.name, 1.0, "gold quality, told by labels")

    def scores(self, groups: Sequence[TraceGroup]) -> Judgement:
        """Scores every trace at every checkpoint by its labels, without LM calls.

        Raises:
            DataError: An example has no labels.
        """
        examples = [self.trainset[group.example_index] for group in groups]
        for example, group in zip(examples, groups, strict=True):
            if not example.labels().keys():
                raise DataError(
                    f"the judge 'metric' looks at labels, and training example {group.example_index} has none: "
                    "use 'checked' where quality needs no labels, else 'auto'"
                )
        scores = (_scored(self.metric, example, group) for example, group in zip(examples, groups, strict=True))
        return Judgement(self.name, tuple(scores), labelled=True)


def _scored(metric: AnytimeIndex, example: dspy.Example, group: TraceGroup) -> GroupScores:
    return tuple(
        tuple(
            metric.quality_of(example, checkpoint.prediction) / metric.q_max if checkpoint.answered else 0.0
            for checkpoint in trace.checkpoints
        )
        for trace in group.traces
    )
