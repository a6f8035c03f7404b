"""One compile, from the student to the program that comes out: rounds of sampling, judging and searching."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import dspy

from anytime_dspy.answers import AnswerKey
from anytime_dspy.anytime import Anytime
from anytime_dspy.call_log import keeping_calls
from anytime_dspy.checkpoint import Usage
from anytime_dspy.errors import AnytimeError, DataError, RunError
from anytime_dspy.files import write_json
from anytime_dspy.optimizers.candidates import pairs_for
from anytime_dspy.optimizers.family import Panel, own_lm
from anytime_dspy.optimizers.judges import Judge
from anytime_dspy.optimizers.limits import Limits, OnTrial
from anytime_dspy.optimizers.locks import held
from anytime_dspy.optimizers.memo import Memo
from anytime_dspy.optimizers.pairs import PreferencePair, select_pairs, write_pairs
from anytime_dspy.optimizers.prompting import prompted
from anytime_dspy.optimizers.proposals import proposed_styles
from anytime_dspy.optimizers.report import CompileReport, Searched, gold_agreement
from anytime_dspy.optimizers.rounds import Gathered, Round, gather, search_space
from anytime_dspy.optimizers.search import Meter, Validation, best_trial, measured_again, rank, search
from anytime_dspy.optimizers.space import Prompt, Space
from anytime_dspy.optimizers.study import Trial, TrialBook
from anytime_dspy.optimizers.synthesis import OnTrace, Sampling
from anytime_dspy.phases import phase

__all__ = ["Compiling"]

logger = logging.getLogger(__name__)

PROPOSALS = 2
"""Styles that the LM is asked to propose for the sampling of a search, at most."""


@dataclass(frozen=True)
class _Found:
    """The best of a search."""

    prompt: Prompt
    trial: Trial
    score: float


@dataclass(frozen=True)
class _Step:
    """A round that was searched."""

    gathered: Gathered
    space: Space
    report: Round
    stopped: str | None

    @property
    def found(self) -> _Found | None:
        """The round's best."""
        trial = best_trial(self.report.trials)
        if trial is None or trial.score is None:
            return None
        return _Found(self.space.prompt(trial.candidate), trial, trial.score)


@dataclass(frozen=True)
class Compiling:
    """A compile's options and data, as `PDP` checked them.

    Attributes:
        student: What is compiled.
        trainset: What traces are sampled on.
        validation: What candidates are measured on; no examples for the fixed recipe.
        sampling: How traces are sampled.
        judge: Who judges them.
        answer_key: Makes answers comparable.
        contrastive: Whether contrast may be shown.
        trials: Of each round's search, 0 for the fixed recipe.
        rounds: At most.
        limits: Where the search stops before that.
        begun: When the compile began, by `time.monotonic`.
        folder: Where everything is kept, None to keep nothing.
        on_trace: Called with each trace.
        on_trial: Called with a search's progress.
    """

    student: Anytime
    trainset: Sequence[dspy.Example]
    validation: Validation
    sampling: Sampling
    judge: str | Judge | dspy.Module
    answer_key: AnswerKey
    contrastive: bool
    trials: int
    rounds: int
    limits: Limits
    begun: float
    folder: Path | None = None
    on_trace: OnTrace | None = None
    on_trial: OnTrial | None = None

    def run(self) -> Anytime:
        """Returns the compiled program, with its report.

        Raises:
            AnytimeError: As `PDP.compile` says.
        """
        return self._searched() if self.trials else self._by_recipe()

    def _by_recipe(self) -> Anytime:
        with held(self.folder, "preparing"), self._keeping_calls():
            gathered = self._gathered(self.student, self.sampling)
        selected = select_pairs(gathered.pairs)
        compiled = prompted(self.student, selected, contrastive=self.contrastive)
        return self._reported(compiled, [gathered], [_report_of(gathered)], selected, None)

    def _searched(self) -> Anytime:
        steps: list[_Step] = []
        best: _Found | None = None
        while len(steps) < self.rounds:
            step = self._step(steps, best)
            if step is None:
                break
            steps.append(step)
            found = step.found
            if found is None or (best is not None and not found.score > best.score):
                break
            best = found
            if step.stopped:
                break
        rounds = [step.report for step in steps]
        if best is None:
            raise AnytimeError(_nothing_measured(rounds, steps[-1].stopped))
        compiled = best.prompt.applied(self.student)
        with self._keeping_calls(), phase("searching"):
            scores = measured_again(compiled, self.validation) or best.trial.scores
        searched = Searched(
            student=_student_score(rounds[0].trials),
            score=sum(scores) / len(scores),
            scores=scores,
            examples=len(scores),
            trials=sum(len(one.trials) for one in rounds),
            stopped=steps[-1].stopped,
            usage=sum((one.search + one.writing for one in rounds), Usage()),
        )
        self._reported(compiled, [step.gathered for step in steps], rounds, best.prompt.pairs, searched)
        _like_dspys(compiled, self.student, steps, searched.score)
        return compiled

    def _step(self, steps: Sequence[_Step], best: _Found | None) -> _Step | None:
        """Runs the next round; None where it gave nothing to search, and there is something from the rounds before."""
        number = len(steps)
        sampler = best.prompt.applied(self.student) if best else self.student
        try:
            # Whoever shares the folder waits here, and finds everything done.
            with held(self.folder, "preparing"), self._keeping_calls():
                sampling, proposing = self._sampling(number)
                gathered = self._gathered(sampler, sampling)
                space, writing = self._space(gathered, best, sampling)
        except RunError:
            raise
        except AnytimeError as error:
            if best is None:
                raise
            logger.warning("Round %d gave nothing to search (%s): what was found before stands", number, error)
            return None
        book = TrialBook(self.folder, f"round-{number}", space, self.sampling.seed)
        writing += proposing
        prepared = gathered.synthesis + gathered.judge.usage + writing
        meter = Meter(self.limits, sum((step.report.usage for step in steps), prepared), self.begun)
        with self._keeping_calls(), phase("searching"):
            trials = search(
                book, self.validation, trials=self.trials, meter=meter, round=number, on_trial=self.on_trial
            )
        report = _report_of(gathered, space, trials, writing, book.spent())
        return _Step(gathered, space, report, meter.reached(book.spent()))

    def _sampling(self, number: int) -> tuple[Sampling, Usage]:
        """How a round samples: where there are samples enough, in styles that the LM proposes too, at a call's cost."""
        sampling = replace(self.sampling, round=number)
        wanted = min(PROPOSALS, sampling.samples - len(sampling.styles))
        if wanted < 1:  # no sample would be left for them
            return sampling, Usage()
        with self._asking(), phase("writing styles and instructions"):
            proposed = proposed_styles(self.student, wanted)
        return replace(sampling, styles=(*sampling.styles, *proposed.styles)), proposed.usage

    def _gathered(self, program: Anytime, sampling: Sampling) -> Gathered:
        panel = Panel(
            self.validation.metric,
            self.trainset,
            self.answer_key,
            sampling.threads,
            sampling.seed,
            Memo(self.folder / "judged.jsonl" if self.folder else None),
            own_lm(self.student),
        )
        done = gather(program, self.trainset, sampling, panel, self.judge, folder=self.folder, on_trace=self.on_trace)
        if self.folder and sampling.round == 0:
            write_pairs(self.folder / "pairs.jsonl", done.pairs)  # paid for, whatever happens next
        return done

    def _space(self, gathered: Gathered, best: _Found | None, sampling: Sampling) -> tuple[Space, Usage]:
        usable = pairs_for(gathered.pairs, excluding=self.validation.examples)
        if gathered.pairs and not usable:
            raise DataError("every pair is of an example that the valset holds too: validate on other examples")
        with self._asking(), phase("writing styles and instructions"):
            return search_space(
                self.student,
                usable,
                best.prompt if best else None,
                contrastive=self.contrastive,
                sampling=sampling,
                styles=gathered.styles,
            )

    def _reported(
        self,
        compiled: Anytime,
        gathered: Sequence[Gathered],
        rounds: Sequence[Round],
        selected: Sequence[PreferencePair],
        searched: Searched | None,
    ) -> Anytime:
        pairs = [pair for one in gathered for pair in one.pairs]
        judged, metric = gathered[0].judge, self.validation.metric
        compiled.compile_report = CompileReport(
            judge=judged.judge,
            reason=judged.reason,
            reliability=judged.reliability,
            judged=judged,
            traces=gathered[0].traces,
            failed=gathered[0].failed,
            pairs=len(pairs),
            selected=tuple(selected),
            synthesis=sum((one.synthesis for one in gathered), Usage()),
            judging=sum((one.judge.usage for one in gathered), Usage()),
            gold=gold_agreement(pairs, self.trainset, metric),
            gold_selected=gold_agreement(selected, self.trainset, metric),
            search=searched,
            rounds=tuple(rounds),
        )
        if self.folder:
            # Those who share the folder end together, since each waits for the last trial.
            with held(self.folder, "reporting"):
                write_pairs(self.folder / "pairs.jsonl", pairs, selected)
                write_json(self.folder / "report.json", compiled.compile_report)
        return compiled

    def _asking(self) -> AbstractContextManager[None]:
        """Where the LM is asked to write: the program's own, if it has one."""
        lm = own_lm(self.student)
        return nullcontext() if lm is None else dspy.context(lm=lm)

    def _keeping_calls(self) -> AbstractContextManager[None]:
        """Calls that are kept, those of other processes included that had ended when it was entered."""
        return keeping_calls(self.folder / "calls.jsonl") if self.folder else nullcontext()


def _report_of(
    gathered: Gathered,
    space: Space | None = None,
    trials: Sequence[Trial] = (),
    writing: Usage | None = None,
    searching: Usage | None = None,
) -> Round:
    best = best_trial(trials)
    return Round(
        traces=gathered.traces,
        failed=gathered.failed,
        judge=gathered.judge,
        styles=gathered.styles,
        pairs=len(gathered.pairs),
        instructions=space.instructions if space else (),
        trials=tuple(trials),
        score=best.score if best else None,
        synthesis=gathered.synthesis,
        writing=writing or Usage(),
        search=searching or Usage(),
    )


def _nothing_measured(rounds: Sequence[Round], stopped: str | None) -> str:
    failure = next((trial.error for one in rounds for trial in one.trials if trial.error), None)
    if failure:
        return f"no trial could be measured, the first said: {failure}: mend the LM, and compile again"
    return f"the limit of {stopped} was reached before any trial had ended: raise it, and compile again"


def _student_score(trials: Sequence[Trial]) -> float | None:
    return next((one.score for one in trials if one.number == 0 and one.state == "complete"), None)


def _like_dspys(compiled: Anytime, student: Anytime, steps: Sequence[_Step], score: float) -> None:
    """Leaves on the program what DSPy's own optimisers leave, scores in percent as theirs."""
    tried = [(trial, step.space.prompt(trial.candidate)) for step in steps for trial in step.report.trials]
    complete = sorted((one for one in tried if one[0].state == "complete"), key=lambda one: rank(one[0]))
    compiled.score = _percent(score)
    compiled.candidate_programs = [
        {"score": _percent(trial.score), "program": prompt.applied(student)} for trial, prompt in complete
    ]
    compiled.trial_logs = {
        place: {
            "score": _percent(trial.score),
            "state": trial.state,
            "examples": len(trial.scores),
            "candidate": asdict(trial.candidate),
        }
        for place, (trial, _) in enumerate(tried)
    }


def _percent(score: float | None) -> float | None:
    return None if score is None else round(100 * score, 2)
