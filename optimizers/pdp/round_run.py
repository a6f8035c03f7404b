"""One round while it runs: traces are sampled, judged and paired, good ones are squeezed, and a race is prepared."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import dspy

from anytime_dspy.checkpoint import Usage
from anytime_dspy.curve import anytime_index
from anytime_dspy.errors import AnytimeError
from anytime_dspy.optimizers.judges.agreement import Agreement
from anytime_dspy.optimizers.judges.answer_cache import AnswerCache
from anytime_dspy.optimizers.judges.base import Judge, Judgement, choose_judge
from anytime_dspy.optimizers.judges.metric_judges import Checked, Gold
from anytime_dspy.optimizers.judges.registry import Panel
from anytime_dspy.optimizers.judges.report import judge_report
from anytime_dspy.optimizers.pairs.pair import PreferencePair, build_pairs, select_pairs, write_pairs
from anytime_dspy.optimizers.pairs.pair_sets import candidate_sets
from anytime_dspy.optimizers.pairs.squeezed import squeezed_pairs, targets
from anytime_dspy.optimizers.pdp.job import CompileJob
from anytime_dspy.optimizers.pdp.report import Round
from anytime_dspy.optimizers.prompts.instructions import in_style, written_instructions
from anytime_dspy.optimizers.prompts.labelled import can_be_shown
from anytime_dspy.optimizers.search.pool import FEW_SQUEEZED, Pool
from anytime_dspy.optimizers.search.race import Race, Raced, heat_ends
from anytime_dspy.optimizers.search.space import Candidate, shown_inputs
from anytime_dspy.optimizers.search.trial_store import TrialStore
from anytime_dspy.optimizers.search.trials import SpendingLimit
from anytime_dspy.optimizers.traces.sampling import Sampling, sample_traces
from anytime_dspy.optimizers.traces.squeeze import Keeps, SqueezedTrace, Squeezing, rank, squeeze_traces
from anytime_dspy.optimizers.traces.trace import SampledTrace, TraceGroup, group_traces
from anytime_dspy.optimizers.traces.trace_file import TraceLog
from anytime_dspy.optimizers.traces.units import WordsOf
from anytime_dspy.profiling import phase
from anytime_dspy.runtime.predictors import own_lm
from anytime_dspy.storage.jsonl import AnyFile, content_hash

__all__ = ["RoundRun"]

logger = logging.getLogger(__name__)

SQUEEZED_PER_EXAMPLE = 2
"""The largest number of traces of an example that are squeezed: see `targets` for their order."""

GOOD_MERIT = 0.8
"""An example whose squeezed trace has this merit needs no second one."""

ENOUGH = 8
"""With squeezed traces of this many examples, those of earlier rounds are not needed."""

DEMONSTRATIONS = 20
"""The largest number of squeezed traces that sets are drawn from."""

WHOLE_SETS = 4
"""The number of sets of whole traces, the fixed recipe's included."""

WRITING_TRIALS = 12
"""The number of candidates from which on a race has room for instructions that the LM writes."""


class RoundRun:
    """One round: `gather` first; for a race then `prepare_race` and `run_race`.

    Args:
        job: The compile.
        sampling: How to sample; its `round` is the number of this round.
        best: The best candidate so far, whose program is sampled; by default the student.
        before: The rounds before. Where the judge counts votes, their traces vote too, so that a round does not
            confirm its own mistakes.
        writing: The cost of styles that the LM has already written for this round.

    Attributes:
        number: The number of the round, from 0.
        groups: The traces of each example.
        pairs: The pairs of all examples and budgets.
        squeezed: Pairs of a squeezed trace and its original, the best first. Those without a gap still serve as
            demonstrations.
        raced: The result of the race so far; None before it began.
    """

    def __init__(
        self,
        job: CompileJob,
        sampling: Sampling,
        best: Candidate | None = None,
        before: Sequence[RoundRun] = (),
        writing: Usage | None = None,
    ) -> None:
        self._job = job
        self._sampling = sampling
        self.number = sampling.round
        self._best = best or Candidate()
        self._before = before
        self._writing = writing or Usage()
        self._synthesis = self._squeezing = Usage()
        self.groups: list[TraceGroup] = []
        self.pairs: list[PreferencePair] = []
        self.squeezed: list[PreferencePair] = []
        self.raced: Raced | None = None

    @property
    def preferences(self) -> list[PreferencePair]:
        """All pairs that the judge scored differently."""
        return [*self.pairs, *(pair for pair in self.squeezed if pair.gap > 0)]

    @property
    def paid(self) -> Usage:
        """What sampling, squeezing and writing cost so far."""
        return self._synthesis + self._squeezing + self._writing

    @property
    def report(self) -> Round:
        """What the round did so far."""
        originals = {
            (group.example_index, trace.sample): trace.checkpoints[-1]
            for group in self.groups
            for trace in group.traces
        }
        before = [originals[pair.example_index, pair.chosen.sample].reasoning_tokens for pair in self.squeezed]
        after = [pair.chosen.reasoning_tokens for pair in self.squeezed]
        race = self.raced.report if self.raced else None
        traces = sum(len(group.traces) for group in self.groups)
        return Round(
            traces=traces,
            failed=self._runs - traces,
            judge=self._judge,
            styles=self._styles,
            pairs=len(self.preferences),
            squeezed=len(self.squeezed),
            tokens=(fmean(before), fmean(after)) if self.squeezed else None,
            race=race,
            synthesis=self._synthesis,
            squeezing=self._squeezing,
            writing=self._writing,
            search=race.usage if race else Usage(),
        )

    def gather(self) -> None:
        """Samples the best program, has the traces judged, pairs them, and squeezes the good ones.

        Examples that stand in the program's prompt are left out: it would only repeat them.

        Raises:
            AnytimeError: Every run failed, no judge is reliable, the named judge got no answer at all, or the metric is
                outside its scale.
            RunError: The folder is of another compile, or cannot be written.
        """
        job, sampling = self._job, self._sampling
        program = self._best.applied(job.student)
        shown = shown_inputs(program, self._best.shown) if self._before else frozenset()
        places = [place for place, one in enumerate(job.trainset) if _inputs_hash(one) not in shown]
        path = self._file("traces")
        with phase("sampling traces"):
            traces = sample_traces(
                program,
                job.trainset,
                sampling,
                places=places,
                log=TraceLog(path) if path else None,
                on_trace=self._on_trace,
            )
        self._runs = len(places) * sampling.samples
        self._synthesis = sum((trace.usage for trace in traces), Usage())
        self.groups = group_traces(program, job.trainset, traces)
        judge, judgement = self._judged()
        if job.options.trials:
            self.squeezed = self._squeezed_pairs(judge, judgement)
        self._styles = _areas_by_style(self.groups, judgement)
        self.pairs = build_pairs(self.groups, judgement, job.answer_key)
        if job.folder and not self.number:
            write_pairs(job.folder / "pairs.jsonl", self.preferences)  # they are already paid for, so store them first

    def prepare_race(self) -> None:
        """Collects the candidates of the race, and has the LM write instructions where there is room for them.

        Raises:
            AnytimeError: There is nothing to race.
        """
        job, options = self._job, self._job.options
        pool = replace(self._pool(), best=self._best if self._before else None, programs=options.programs)
        usage = sum((one.report.usage for one in self._before), self.report.usage)
        self._race = Race(
            job.student,
            pool.candidates(options.trials, options.seed),
            pool.squeezed,
            job.validation,
            TrialStore(job.shared, f"round-{self.number}"),
            SpendingLimit(options.limits, usage, job.begun, self._paid_heats()),
            round=self.number,
            on_trial=job.on_trial,
        )

    def run_race(self, heats: int | None = None) -> Raced:
        """Runs the race, and returns its result.

        Args:
            heats: The first heats only; by default all. A later call continues from there.
        """
        with self._job.keeping_calls(), phase("racing"):
            self.raced = self._race.run(heats)
        return self.raced

    def _file(self, kind: str) -> AnyFile | None:
        name = f"{kind}-{self.number}.jsonl" if self.number else f"{kind}.jsonl"
        return self._job.shared / name if self._job.shared else None

    def _on_trace(self, trace: SampledTrace) -> None:
        """Checks the quality function on each trace, so that a wrong scale shows on the first one."""
        example, metric = self._job.trainset[trace.example_index], self._job.validation.metric
        if example.labels().keys():
            try:
                metric.curve(example, trace)
            except AnytimeError:
                raise
            except Exception as error:  # it may need a label that this example lacks
                logger.debug("No quality for training example %d: %s", trace.example_index, error)
        if self._job.on_trace:
            self._job.on_trace(trace)

    def _judged(self) -> tuple[Judge, Judgement]:
        job, options = self._job, self._job.options
        metric = job.validation.metric
        panel = Panel(
            metric,
            job.trainset,
            job.answer_key,
            options.threads,
            options.seed,
            AnswerCache(job.shared / "judged.jsonl" if job.shared else None),
            own_lm(job.student),
        )
        with phase("choosing a judge"):
            choice = choose_judge(panel.judges(options.judge), self.groups)
        judge = choice.judge
        if isinstance(judge, Agreement) and self._before:
            judge = replace(judge, earlier=tuple(group for one in self._before for group in one.groups))
        with phase("judging"):
            judgement = judge.scores(self.groups)
        judgement.failures.refuse(f"questions of the judge {judgement.judge}", ", or name another judge")
        self._judge = judge_report(choice, judgement, self.groups, job.trainset, metric)
        return judge, judgement

    def _squeezed_pairs(self, judge: Judge, judgement: Judgement) -> list[PreferencePair]:
        job = self._job
        squeezing = Squeezing(
            job.student,
            WordsOf(example.inputs().toDict() for example in job.trainset),
            job.answer_key,
            self._keeps(judge),
            job.options.threads,
        )
        squeezed: list[SqueezedTrace] = []
        with phase("squeezing traces"):
            for turn in range(SQUEEZED_PER_EXAMPLE):
                good = {one.example_index for one in squeezed if one.merit >= GOOD_MERIT}
                right = targets(self.groups, judgement, turn, job.answer_key)
                wanted = [one for one in right if one.example_index not in good]
                squeezed += squeeze_traces(wanted, squeezing, path=self._file("squeezed"), on_squeezed=job.on_squeezed)
        squeezed.sort(key=rank)
        self._squeezing = sum((one.usage for one in squeezed), Usage())
        return squeezed_pairs(squeezed, self.groups, judgement)

    def _keeps(self, judge: Judge) -> Keeps | None:
        """Where the judge can measure any answer, an answer of at least the same quality counts as kept."""
        if not isinstance(judge, Checked | Gold):
            return None
        job = self._job

        def keeps(place: int, own: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
            example = job.trainset[place]
            old, new = (job.validation.metric.quality_of(example, dspy.Prediction(**one)) for one in (own, other))
            return new >= old

        return keeps

    def _pool(self) -> Pool:
        """What the candidates are made of: pairs of this round, and squeezed traces of all rounds."""
        student, options, styles = self._job.student, self._job.options, self._sampling.styles
        squeezed = [*self.squeezed]
        for one in reversed(self._before):
            squeezed += one.squeezed if len(_one_per_example(squeezed)) < ENOUGH else ()
        ranked = _one_per_example(squeezed)[:DEMONSTRATIONS]
        if len(ranked) < FEW_SQUEEZED:
            logger.warning(
                "Only %d squeezed traces state their answer and use their input: "
                "whole traces, instructions and, where there are labels, labelled examples race too",
                len(ranked),
            )
        size = len(student.budgets)
        whole = candidate_sets(self.pairs, WHOLE_SETS, size, self._sampling.seed)
        order = sorted(styles, key=lambda style: -self._styles.get(style.name, 0.0))
        pool = Pool(
            ranked,
            recipe=tuple(select_pairs(self.pairs)) if self.pairs else (),
            whole=whole,
            styled=[in_style(student, style) for style in order if style.name != "plain"],
            contrastive=options.contrastive,
            labelled=[] if self._before else [one for one in self._job.trainset if can_be_shown(one, student)],
        )
        if options.trials < WRITING_TRIALS:
            return pool
        with self._job.writing_lm(), phase("writing styles and instructions"):
            made = written_instructions(student, ranked[:size] or next(iter(whole), ()))
        self._writing += made.usage
        return replace(pool, written=next(iter(made.kept), None))

    def _paid_heats(self) -> dict[str, int]:
        """The number of heats whose LM calls are already stored and paid for, by candidate.

        Sampling has run the student, and the best candidate of the round before, on the training examples as they are.
        """
        job = self._job
        if not job.shared:
            return {}
        raced, sampled = ({_inputs_hash(one) for one in part} for part in (job.validation.examples, job.trainset))
        heats = len(heat_ends(len(raced))) if raced <= sampled else 0
        return {Candidate().key: heats, self._best.key: heats}


def _inputs_hash(example: dspy.Example) -> str:
    return content_hash(example.inputs().toDict())


def _one_per_example(squeezed: Sequence[PreferencePair]) -> list[PreferencePair]:
    """The first pair of each example whose squeezed trace works its answer out."""
    kept: dict[str, PreferencePair] = {}
    for pair in squeezed:
        if pair.chosen.worked_out:
            kept.setdefault(content_hash(pair.inputs), pair)
    return list(kept.values())


def _areas_by_style(groups: Sequence[TraceGroup], judgement: Judgement) -> dict[str, float]:
    areas: dict[str, list[float]] = {}
    for group, scores in zip(groups, judgement.scores, strict=True):
        for trace, row in zip(group.traces, scores, strict=True):
            if any(score is not None for score in row):
                budgets = [checkpoint.budget for checkpoint in trace.checkpoints]
                area = float(anytime_index([score or 0.0 for score in row], budgets, best_so_far=False))
                areas.setdefault(trace.style, []).append(area)
    return {style: fmean(found) for style, found in areas.items()}
