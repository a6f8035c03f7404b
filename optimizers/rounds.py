"""One round of a compile: sample the best program so far, judge its traces, and search over what they teach."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.checkpoint import Usage
from anytime_dspy.curve import anytime_index
from anytime_dspy.errors import AnytimeError
from anytime_dspy.index import AnytimeIndex
from anytime_dspy.optimizers.candidates import candidate_sets
from anytime_dspy.optimizers.family import Panel
from anytime_dspy.optimizers.instructions import candidate_instructions, in_style
from anytime_dspy.optimizers.judge_report import JudgeReport, judge_report
from anytime_dspy.optimizers.judges import Judge, Judgement, choose_judge
from anytime_dspy.optimizers.pairs import PreferencePair, build_pairs, select_pairs
from anytime_dspy.optimizers.space import Candidate, Instructions, Prompt, Space
from anytime_dspy.optimizers.study import Trial
from anytime_dspy.optimizers.synthesis import (
    OnTrace,
    SampledTrace,
    Sampling,
    TraceGroup,
    group_traces,
    sample_traces,
)
from anytime_dspy.optimizers.trace_log import TraceLog
from anytime_dspy.phases import phase

__all__ = ["Gathered", "Round", "gather", "search_space"]

logger = logging.getLogger(__name__)

SETS = 4
"""Sets of pairs to choose from, the fixed recipe's among them."""


@dataclass(frozen=True)
class Gathered:
    """What a round learned from its traces.

    Attributes:
        traces: Traces that were sampled.
        failed: Runs that gave none.
        judge: Who judged them, and how it fared.
        styles: What the judge gave each style's traces, by the style's name; see `Round`.
        pairs: Pairs of all examples and budgets.
        synthesis: What sampling the traces cost.
    """

    traces: int
    failed: int
    judge: JudgeReport
    styles: Mapping[str, float]
    pairs: tuple[PreferencePair, ...]
    synthesis: Usage


@dataclass(frozen=True)
class Round:
    """What one round was.

    Attributes:
        traces: Traces that were sampled.
        failed: Runs that gave none.
        judge: Who judged them, and how it fared.
        styles: What the judge gave each style's traces, by the style's name: the mean area under their curves, in
            [0, 1], over the examples that it could decide.
        pairs: Pairs of all examples and budgets.
        instructions: What the search could choose from, each predictor's; empty without a search.
        trials: Of the search.
        score: The best validation index of the search, None without one.
        synthesis: What sampling the traces cost.
        writing: What writing instructions cost.
        search: What the trials cost.
    """

    traces: int
    failed: int
    judge: JudgeReport
    styles: Mapping[str, float]
    pairs: int
    instructions: tuple[Instructions, ...]
    trials: tuple[Trial, ...]
    score: float | None
    synthesis: Usage
    writing: Usage
    search: Usage

    @property
    def usage(self) -> Usage:
        """What the whole round cost."""
        return self.synthesis + self.judge.usage + self.writing + self.search


def gather(
    program: Anytime,
    trainset: Sequence[dspy.Example],
    sampling: Sampling,
    panel: Panel,
    judge: str | Judge | dspy.Module,
    *,
    folder: Path | None = None,
    on_trace: OnTrace | None = None,
) -> Gathered:
    """Samples a program, has its traces judged, and pairs them.

    Args:
        program: The best one so far.
        trainset: Examples with their inputs set.
        sampling: How to sample.
        panel: What the judges need.
        judge: Who judges.
        folder: Where the traces are kept.
        on_trace: Called with each trace.

    Raises:
        AnytimeError: Every run failed, no judge is reliable or the one that was asked for got no answer at all, or the
            metric is outside its scale.
        RunError: The folder is another compile's, or cannot be written.
    """

    def checked(trace: SampledTrace) -> None:
        _refuse_bad_quality(trace, trainset[trace.example_index], panel.metric)
        if on_trace:
            on_trace(trace)

    name = f"traces-{sampling.round}.jsonl" if sampling.round else "traces.jsonl"
    log = TraceLog(folder / name) if folder else None
    with phase("sampling traces"):
        traces = sample_traces(program, trainset, sampling, log=log, on_trace=checked)
    groups = group_traces(program, trainset, traces)
    with phase("choosing a judge"):
        choice = choose_judge(panel.judges(judge), groups)
    with phase("judging"):
        judgement = choice.judge.scores(groups)
    judgement.failures.refuse(f"questions of the judge {judgement.judge}", ", or name another judge")
    return Gathered(
        traces=len(traces),
        failed=len(trainset) * sampling.samples - len(traces),
        judge=judge_report(choice, judgement, groups, trainset, panel.metric),
        styles=_by_style(groups, judgement),
        pairs=tuple(build_pairs(groups, judgement, panel.answer_key)),
        synthesis=sum((trace.usage for trace in traces), Usage()),
    )


def search_space(
    student: Anytime,
    pairs: Sequence[PreferencePair],
    best: Prompt | None,
    *,
    contrastive: bool,
    sampling: Sampling,
    styles: Mapping[str, float],
) -> tuple[Space, Usage]:
    """Returns what a round's search chooses from, and what writing its instructions cost.

    The first trials are the student itself, the best prompt of the rounds before, the fixed recipe, the chosen traces
    of the first drawn set without contrast, and the style whose traces the judge found best, with these and without.

    Args:
        student: What the candidates are made from.
        pairs: That may be shown where the candidates are measured.
        best: Of the rounds before.
        contrastive: Whether contrast may be shown.
        sampling: How the traces were sampled: its seed draws the sets of pairs, its styles are candidates too.
        styles: What the judge gave each style's traces.

    Raises:
        AnytimeError: There are no pairs.
    """
    size = len(student.budgets)
    recipe = tuple(select_pairs(pairs))
    sets = [recipe, *(other for other in candidate_sets(pairs, SETS - 1, size, sampling.seed) if other != recipe)]
    written = candidate_instructions(student, sets, sampling.styles, [best.instructions] if best else [])
    favourite = max(sampling.styles, key=lambda style: styles.get(style.name, 0.0))
    styled = written.place_of(in_style(student, favourite))
    drawn = min(1, len(sets) - 1)
    starts = [
        Candidate(),
        Candidate(0, 0, size, contrastive),
        Candidate(0, drawn, size),
        Candidate(styled, drawn, size),
        Candidate(styled),
    ]
    if best is not None:
        sets.append(best.pairs)
        place = written.place_of(best.instructions)
        shown = size if best.pairs else 0
        starts.insert(1, Candidate(place, len(sets) - 1 if shown else 0, shown, best.contrast))
    space = Space(
        student=student,
        instructions=written.texts,
        sets=tuple(sets),
        shown=tuple(sorted({0, (size + 1) // 2, size})),
        contrasts=(False, True) if contrastive else (False,),
        starts=tuple(dict.fromkeys(starts)),
    )
    return space, written.usage


def _by_style(groups: Sequence[TraceGroup], judgement: Judgement) -> dict[str, float]:
    areas: dict[str, list[float]] = {}
    for group, scores in zip(groups, judgement.scores, strict=True):
        for trace, row in zip(group.traces, scores, strict=True):
            if any(score is not None for score in row):
                budgets = [checkpoint.budget for checkpoint in trace.checkpoints]
                area = float(anytime_index([score or 0.0 for score in row], budgets, best_so_far=False))
                areas.setdefault(trace.style, []).append(area)
    return {style: sum(found) / len(found) for style, found in areas.items()}


def _refuse_bad_quality(trace: SampledTrace, example: dspy.Example, metric: AnytimeIndex) -> None:
    """A quality outside its scale can be seen first on the first trace, before more is paid for."""
    if not example.labels().keys():
        return
    try:
        metric.curve(example, trace)
    except AnytimeError:
        raise
    except Exception as error:  # it may need a label that this example lacks
        logger.debug("No quality for training example %d: %s", trace.example_index, error)
