"""The judges that measure: the metric's own quality, from an example's inputs alone, or from its labels too."""

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
    """Scores a trace at a checkpoint by a quality that needs no labels, such as whether a plan meets its constraints.

    The quality is shown an example's inputs and nothing else, so that it cannot look at a label. Where quality is told
    by labels, use `Gold`, which says so.

    Attributes:
        metric: Whose quality is asked.
    """

    metric: AnytimeIndex

    @property
    def name(self) -> str:
        """What reports call it."""
        return "checked"

    def reliability(self, groups: Sequence[TraceGroup]) -> Reliability:
        """Returns full reliability: a check gives the same answer twice."""
        return Reliability(self.name, 1.0, "the quality is checked, from the inputs alone")

    def scores(self, groups: Sequence[TraceGroup]) -> Judgement:
        """Scores every trace at every checkpoint; it costs no call."""
        examples = (dspy.Example(**group.inputs).with_inputs(*group.inputs) for group in groups)
        scores = (_scored(self.metric, example, group) for example, group in zip(examples, groups, strict=True))
        return Judgement(self.name, tuple(scores))


@dataclass(frozen=True)
class Gold:
    """Scores a trace at a checkpoint by its gold quality: what a compile with labels may do instead of judging itself.

    Attributes:
        metric: Whose quality is asked.
        trainset: The examples with their labels, in the order that the traces were sampled in.
    """

    metric: AnytimeIndex
    trainset: Sequence[dspy.Example]

    @property
    def name(self) -> str:
        """What reports call it: the metric itself."""
        return "metric"

    def reliability(self, groups: Sequence[TraceGroup]) -> Reliability:
        """Returns full reliability: labels are what every other judge is held against."""
        return Reliability(self.name, 1.0, "gold quality, told by labels")

    def scores(self, groups: Sequence[TraceGroup]) -> Judgement:
        """Scores every trace at every checkpoint; it costs no call, and looks at labels.

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
