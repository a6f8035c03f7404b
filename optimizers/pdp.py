"""PDP, Preference Data Prompting: a program is shown better and worse traces of its own at every budget."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import dspy
from dspy.teleprompt import Teleprompter

from anytime_dspy.answers import AnswerKey, answer_text
from anytime_dspy.anytime import Anytime
from anytime_dspy.checkpoint import Usage
from anytime_dspy.errors import AnytimeError
from anytime_dspy.files import write_json
from anytime_dspy.index import AnytimeIndex
from anytime_dspy.optimizers.checks import check_compile
from anytime_dspy.optimizers.family import Panel, check_judge, own_lm
from anytime_dspy.optimizers.judge_report import judge_report
from anytime_dspy.optimizers.judges import Judge, choose_judge
from anytime_dspy.optimizers.memo import Memo
from anytime_dspy.optimizers.pairs import build_pairs, select_pairs, write_pairs
from anytime_dspy.optimizers.prompting import prompted
from anytime_dspy.optimizers.report import CompileReport, gold_agreement
from anytime_dspy.optimizers.synthesis import (
    OnTrace,
    SampledTrace,
    Sampling,
    group_traces,
    sample_traces,
)
from anytime_dspy.optimizers.trace_log import TraceLog

__all__ = ["PDP"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PDP(Teleprompter):
    """Compiles an `Anytime` program with preference pairs that it judges itself (Zhang et al., arXiv 2601.11038).

    The student is sampled on the training examples, its traces are cut and answered at every budget, a judge without
    labels scores them, and of all pairs the one with the largest gap at each budget goes into the prompt. Nothing is
    kept on the optimiser: it may compile again, other programs too.

    Attributes:
        metric: The Anytime Index. It never chooses a pair: the report says with it how often self-judgement and gold
            quality agree, where there are labels.
        _: What follows is given by keyword.
        samples: Traces of each training example.
        temperature: They are sampled at, above 0.
        contrastive: Whether the worse trace is shown beside the better one; without it the recipe is PDP(+).
        judge: Who scores the traces: "agreement" (votes among the samples), "pairwise" (the LM's verdict in both
            orders), "confidence" (how likely the LM finds an answer correct), "auto" (the most reliable of these three
            on these traces), "checked" (the metric's quality where it can be computed from the inputs alone, as
            Trip's can), "metric" (gold quality, which looks at labels), `Teacher(lm)`, a DSPy module `task,
            candidate_a, candidate_b -> better`, or a `Judge` of your own.
        answer_key: Makes answers comparable; by default their text without regard to case and white space.
        threads: Runs and questions at the same time.
        seed: Of the samples, and of the pairs that reliability is measured on.
        log_dir: Where given, a folder for traces.jsonl (a line a trace, as it finishes), judged.jsonl (what judges were
            asked), pairs.jsonl (all pairs, the selected ones marked) and report.json.

    Raises:
        AnytimeError: An option cannot be used.

    Example:
        >>> from anytime_dspy import AnytimeIndex
        >>> pdp = PDP(AnytimeIndex(lambda example, prediction: example.answer == prediction.answer), samples=4)
        >>> pdp.contrastive
        True
    """

    metric: AnytimeIndex
    _: KW_ONLY
    samples: int = 6
    temperature: float = 0.9
    contrastive: bool = True
    judge: str | Judge | dspy.Module = "auto"
    answer_key: AnswerKey | None = None
    threads: int = 1
    seed: int = 0
    log_dir: str | Path | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.metric, AnytimeIndex):
            raise AnytimeError(f"metric must be an AnytimeIndex(quality), not {type(self.metric).__name__}")
        if self.samples < 2:
            raise AnytimeError(f"samples must be at least 2, since pairs compare traces; got {self.samples}")
        if not self.temperature > 0:
            raise AnytimeError(f"temperature must be above 0, or all samples are the same; got {self.temperature}")
        if self.threads < 1:
            raise AnytimeError(f"threads must be at least 1, got {self.threads}")
        check_judge(self.judge)

    def compile(
        self,
        student: Anytime,
        *,
        trainset: Sequence[dspy.Example],
        teacher: dspy.Module | None = None,
        valset: Sequence[dspy.Example] | None = None,
        on_trace: OnTrace | None = None,
    ) -> Anytime:
        """Returns a new program with the preference pairs in its prompt; the student is not changed.

        Args:
            student: The program with its budgets; the LM is that of the surrounding `dspy.context`, or its own.
            trainset: Examples with their inputs set; labels, where they are, are only reported on.
            teacher: Refused: the student learns from its own traces.
            valset: Not looked at: the fixed recipe has nothing to choose with it.
            on_trace: Called with each of `len(trainset) * samples` traces as it finishes, for a progress bar.

        Returns:
            The compiled program, with a `CompileReport` as its `compile_report`.

        Raises:
            ProgramError: The student is no `Anytime`, or a teacher was given.
            DataError: There are no training examples, or one has no inputs.
            ModelError: There is no LM to run the student on.
            AnytimeError: Every run failed, no judge is reliable, or the judge saw no difference between any traces.
            RunError: `log_dir` cannot be written.
        """
        check_compile("PDP", student, trainset, teacher)
        folder = None if self.log_dir is None else Path(self.log_dir)
        memo = Memo(folder / "judged.jsonl" if folder else None)
        traces = self._sampled(student, trainset, folder, on_trace)
        groups = group_traces(student, trainset, traces)
        panel = Panel(
            self.metric, trainset, self.answer_key or answer_text, self.threads, self.seed, memo, own_lm(student)
        )
        choice = choose_judge(panel.judges(self.judge), groups)
        judgement = choice.judge.scores(groups)
        judged = judge_report(choice, judgement, groups, trainset, self.metric)
        pairs = build_pairs(groups, judgement, self.answer_key or answer_text)
        if folder:
            write_pairs(folder / "pairs.jsonl", pairs)
        selected = select_pairs(pairs)
        report = CompileReport(
            judge=judgement.judge,
            reason=choice.reason,
            reliability=choice.measured,
            judged=judged,
            traces=len(traces),
            failed=len(trainset) * self.samples - len(traces),
            pairs=len(pairs),
            selected=tuple(selected),
            synthesis=sum((trace.usage for trace in traces), Usage()),
            judging=judged.usage,
            gold=gold_agreement(pairs, trainset, self.metric),
            gold_selected=gold_agreement(selected, trainset, self.metric),
        )
        compiled = prompted(student, selected, contrastive=self.contrastive)
        compiled.compile_report = report
        if folder:
            write_pairs(folder / "pairs.jsonl", pairs, selected)
            write_json(folder / "report.json", report)
        return compiled

    def _sampled(
        self, student: Anytime, trainset: Sequence[dspy.Example], folder: Path | None, on_trace: OnTrace | None
    ) -> list[SampledTrace]:
        sampling = Sampling(samples=self.samples, temperature=self.temperature, seed=self.seed, threads=self.threads)
        log = TraceLog(folder / "traces.jsonl") if folder else None
        return sample_traces(student, trainset, sampling, log=log, on_trace=on_trace)
