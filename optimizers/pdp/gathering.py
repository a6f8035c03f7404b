"""Gathering what a round learns from: the program's traces are sampled, judged, paired, and the good ones squeezed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.checkpoint import Call, Usage
from anytime_dspy.curve import anytime_index
from anytime_dspy.errors import AnytimeError
from anytime_dspy.optimizers.judges.agreement import Agreement
from anytime_dspy.optimizers.judges.base import Choice, Judge, Judgement, choose_judge
from anytime_dspy.optimizers.judges.metric_judges import Checked, Gold
from anytime_dspy.optimizers.judges.registry import Panel
from anytime_dspy.optimizers.judges.report import JudgeReport, judge_report
from anytime_dspy.optimizers.pairs.pair import PreferencePair, build_pairs
from anytime_dspy.optimizers.pairs.squeezed import squeezed_pairs, targets
from anytime_dspy.optimizers.search.locks import AnyFolder
from anytime_dspy.optimizers.traces.sampling import (
    OnTrace,
    SampledTrace,
    Sampling,
    TraceGroup,
    group_traces,
    sample_traces,
)
from anytime_dspy.optimizers.traces.squeeze import Keeps, OnSqueezed, SqueezedTrace, Squeezing, rank, squeeze_traces
from anytime_dspy.optimizers.traces.trace_file import TraceLog
from anytime_dspy.optimizers.traces.units import WordsOf
from anytime_dspy.profiling import phase
from anytime_dspy.storage.jsonl import AnyFile, content_hash

__all__ = ["ENOUGH", "Gathered", "Gathering", "one_an_example"]

logger = logging.getLogger(__name__)

SQUEEZED_AN_EXAMPLE = 2
"""Traces of one example that are squeezed, the shortest first."""

ENOUGH = 8
"""Squeezed traces of as many examples are enough to draw sets from."""

GOOD = 0.8
"""The merit from which on an example needs no second squeezed trace."""


@dataclass(frozen=True)
class Gathered:
    """What a round learned from its traces.

    Attributes:
        traces: Traces that were sampled.
        failed: Runs that gave none.
        groups: The traces of each example.
        judge: Who judged them, and how it fared.
        styles: What the judge gave each style's traces, by the style's name; see `Round`.
        pairs: Pairs of all examples and budgets.
        squeezed: Pairs of squeezed traces and their originals, the best first; those without a gap are demonstrations
            all the same.
        synthesis: What sampling the traces cost.
        squeezing: What squeezing them cost.
    """

    traces: int
    failed: int
    groups: tuple[TraceGroup, ...]
    judge: JudgeReport
    styles: Mapping[str, float]
    pairs: tuple[PreferencePair, ...]
    squeezed: tuple[PreferencePair, ...]
    synthesis: Usage
    squeezing: Usage

    @property
    def preferences(self) -> tuple[PreferencePair, ...]:
        """All pairs whose sides differ in what the judge gave them."""
        return (*self.pairs, *(pair for pair in self.squeezed if pair.gap > 0))


@dataclass(frozen=True)
class Gathering:
    """How a round's traces are gathered.

    Attributes:
        student: Whose forced answers decide what a squeezed trace needs.
        trainset: Examples with their inputs set.
        panel: What the judges need.
        judge: Who judges.
        squeeze: Whether good traces are squeezed.
        folder: Where traces are kept.
        on_trace: Called with each trace.
        on_squeezed: Called with each squeezed trace.
    """

    student: Anytime
    trainset: Sequence[dspy.Example]
    panel: Panel
    judge: str | Judge | dspy.Module
    squeeze: bool = False
    folder: AnyFolder | None = None
    on_trace: OnTrace | None = None
    on_squeezed: OnSqueezed | None = None

    def gathered(
        self,
        program: Anytime,
        sampling: Sampling,
        shown: frozenset[str] = frozenset(),
        earlier: Sequence[TraceGroup] = (),
    ) -> Gathered:
        """Samples a program, has its traces judged, pairs them, and squeezes the good ones.

        Args:
            program: The best one so far.
            sampling: How to sample.
            shown: The inputs that stand in its prompt, as `shown_inputs` tells them: it would only repeat these.
            earlier: The traces of the rounds before: where votes judge they vote too, so that a round does not confirm
                its own mistakes.

        Raises:
            AnytimeError: Every run failed, no judge is reliable or the one that was asked for got no answer at all, or
                the metric is outside its scale.
            RunError: The folder is another compile's, or cannot be written.
        """
        inputs = [content_hash(example.inputs().toDict()) for example in self.trainset]
        asked = [place for place, one in enumerate(inputs) if one not in shown]
        log = TraceLog(self._file("traces", sampling.round)) if self.folder else None
        with phase("sampling traces"):
            traces = sample_traces(
                program, self.trainset, sampling, places=asked, log=log, on_trace=self._checked_trace
            )
        groups = group_traces(program, self.trainset, traces)
        with phase("choosing a judge"):
            choice = choose_judge(self.panel.judges(self.judge), groups)
        if isinstance(choice.judge, Agreement) and earlier:
            choice = replace(choice, judge=replace(choice.judge, earlier=tuple(earlier)))
        with phase("judging"):
            judgement = choice.judge.scores(groups)
        judgement.failures.refuse(f"questions of the judge {judgement.judge}", ", or name another judge")
        squeezed, squeezing = self._squeezed(groups, choice, judgement, sampling) if self.squeeze else ((), Usage())
        return Gathered(
            traces=len(traces),
            failed=len(asked) * sampling.samples - len(traces),
            groups=tuple(groups),
            judge=judge_report(choice, judgement, groups, self.trainset, self.panel.metric),
            styles=_by_style(groups, judgement),
            pairs=tuple(build_pairs(groups, judgement, self.panel.answer_key)),
            squeezed=squeezed,
            synthesis=sum((trace.usage for trace in traces), Usage()),
            squeezing=squeezing,
        )

    def _checked_trace(self, trace: SampledTrace) -> None:
        _refuse_bad_quality(trace, self.trainset[trace.example_index], self.panel)
        if self.on_trace:
            self.on_trace(trace)

    def _squeezed(
        self, groups: Sequence[TraceGroup], choice: Choice, judgement: Judgement, sampling: Sampling
    ) -> tuple[tuple[PreferencePair, ...], Usage]:
        squeezing = Squeezing(
            self.student,
            WordsOf(example.inputs().toDict() for example in self.trainset),
            self.panel.answer_key,
            self._as_good(choice.judge),
            sampling.threads,
        )
        path = self._file("squeezed", sampling.round) if self.folder else None
        squeezed: list[SqueezedTrace] = []
        with phase("squeezing traces"):
            # An example's next trace is squeezed only where the one before has left something to wish for.
            for turn in range(SQUEEZED_AN_EXAMPLE):
                good = {one.example_index for one in squeezed if one.merit >= GOOD}
                wanted = [trace for trace in targets(groups, judgement, turn) if trace.example_index not in good]
                squeezed += squeeze_traces(wanted, squeezing, path=path, on_squeezed=self.on_squeezed)
        squeezed.sort(key=rank)
        pairs = squeezed_pairs(squeezed, groups, judgement)
        return tuple(pairs), sum((one.usage for one in squeezed), Usage())

    def _as_good(self, judge: Judge) -> Keeps | None:
        """Where quality can be asked for any answer, an answer is as good as another that is no better."""
        if not isinstance(judge, Checked | Gold) or len(self.student.predictors()) != 1:
            return None
        labelled = isinstance(judge, Gold)
        examples = {content_hash(one.inputs().toDict()): one for one in self.trainset} if labelled else {}

        def keeps(call: Call, outputs: Mapping[str, Any]) -> bool:
            inputs = dict(call.inputs)
            example = examples.get(content_hash(inputs), dspy.Example(**inputs).with_inputs(*inputs))
            new, old = (
                self.panel.metric.quality_of(example, dspy.Prediction(**one)) for one in (outputs, call.outputs)
            )
            return new >= old

        return keeps

    def _file(self, kind: str, round: int) -> AnyFile:
        assert self.folder is not None
        return self.folder / (f"{kind}-{round}.jsonl" if round else f"{kind}.jsonl")


def one_an_example(squeezed: Sequence[PreferencePair]) -> list[PreferencePair]:
    """Returns the first pair of each example among those that teach to work with the input, in their order."""
    kept: dict[str, PreferencePair] = {}
    for pair in squeezed:
        if pair.chosen.worked_out:
            kept.setdefault(content_hash(pair.inputs), pair)
    return list(kept.values())


def _by_style(groups: Sequence[TraceGroup], judgement: Judgement) -> dict[str, float]:
    areas: dict[str, list[float]] = {}
    for group, scores in zip(groups, judgement.scores, strict=True):
        for trace, row in zip(group.traces, scores, strict=True):
            if any(score is not None for score in row):
                budgets = [checkpoint.budget for checkpoint in trace.checkpoints]
                area = float(anytime_index([score or 0.0 for score in row], budgets, best_so_far=False))
                areas.setdefault(trace.style, []).append(area)
    return {style: sum(found) / len(found) for style, found in areas.items()}


def _refuse_bad_quality(trace: SampledTrace, example: dspy.Example, panel: Panel) -> None:
    """A quality outside its scale can be seen first on the first trace, before more is paid for."""
    if not example.labels().keys():
        return
    try:
        panel.metric.curve(example, trace)
    except AnytimeError:
        raise
    except Exception as error:  # it may need a label that this example lacks
        logger.debug("No quality for training example %d: %s", trace.example_index, error)
