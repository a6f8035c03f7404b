"""The judge that checks: a quality that can be computed at run time, from the inputs alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dspy

from anytime_dspy.checkpoint import Checkpoint
from anytime_dspy.index import AnytimeIndex
from anytime_dspy.optimizers.judges import Judgement, Reliability
from anytime_dspy.optimizers.synthesis import TraceGroup

__all__ = ["Checked"]


@dataclass(frozen=True)
class Checked:
    """Scores a trace at a checkpoint by a quality that needs no labels, such as whether a plan meets its constraints.

    The quality is shown an example's inputs and nothing else, so that it cannot look at a label.

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
        return Judgement(self.name, tuple(self._scored(group) for group in groups))

    def _scored(self, group: TraceGroup) -> tuple[tuple[float, ...], ...]:
        example = dspy.Example(**group.inputs).with_inputs(*group.inputs)

        def score(checkpoint: Checkpoint) -> float:
            if not checkpoint.answered:
                return 0.0
            return float(self.metric.quality(example, checkpoint.prediction)) / self.metric.q_max

        return tuple(tuple(map(score, trace.checkpoints)) for trace in group.traces)
