"""One compile, from the student to the program that comes out: rounds of sampling, judging, squeezing and racing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean

import dspy

from anytime_dspy.answers import AnswerKey
from anytime_dspy.anytime import Anytime
from anytime_dspy.calls.call_cache import keeping_calls
from anytime_dspy.checkpoint import Usage
from anytime_dspy.errors import AnytimeError, RunError
from anytime_dspy.optimizers.judges.answer_cache import AnswerCache
from anytime_dspy.optimizers.judges.base import Judge
from anytime_dspy.optimizers.judges.registry import Panel, own_lm
from anytime_dspy.optimizers.pairs.pair import PreferencePair, select_pairs, write_pairs
from anytime_dspy.optimizers.pdp.gathering import ENOUGH, Gathered, Gathering, one_an_example
from anytime_dspy.optimizers.pdp.report import CompileReport, Searched, gold_agreement, searched
from anytime_dspy.optimizers.pdp.rounds import Round, pool_of
from anytime_dspy.optimizers.prompts.render import prompted
from anytime_dspy.optimizers.prompts.style_proposals import proposed_styles
from anytime_dspy.optimizers.search.limits import Limits, OnTrial
from anytime_dspy.optimizers.search.locks import AnyFolder, held
from anytime_dspy.optimizers.search.pool import Pool
from anytime_dspy.optimizers.search.race import Race, Raced, heat_ends
from anytime_dspy.optimizers.search.space import Candidate, shown_inputs
from anytime_dspy.optimizers.search.standing import RaceReport
from anytime_dspy.optimizers.search.trial_store import TrialStore
from anytime_dspy.optimizers.search.trials import Meter, Validation
from anytime_dspy.optimizers.search.verdict import verdict
from anytime_dspy.optimizers.traces.sampling import OnTrace, Sampling, TraceGroup
from anytime_dspy.optimizers.traces.squeeze import OnSqueezed
from anytime_dspy.optimizers.traces.styles import PLAIN
from anytime_dspy.profiling import phase
from anytime_dspy.storage.jsonl import content_hash, write_json

__all__ = ["Compiling", "Watch"]

logger = logging.getLogger(__name__)

PROPOSALS = 2
"""Styles that the LM is asked to propose for the sampling of a race, at most."""

SCOUTING = 2
"""Heats of a round that is not the last: enough to see which program to sample next. What small LMs write imitates what
they are shown, the broken forms too, so that a set that leads by its score also teaches better ones."""

WRITING_TRIALS = 12
"""Candidates from which on a race has room for instructions that the LM is asked to write."""


@dataclass(frozen=True)
class Watch:
    """Who is told how a compile gets on.

    Attributes:
        on_trace: Called with each trace.
        on_squeezed: Called with each squeezed trace.
        on_trial: Called with a race's progress.
    """

    on_trace: OnTrace | None = None
    on_squeezed: OnSqueezed | None = None
    on_trial: OnTrial | None = None


@dataclass(frozen=True)
class _Step:
    """A round that was raced."""

    gathered: Gathered
    race: Race
    raced: Raced
    writing: Usage

    @property
    def report(self) -> Round:
        """What it was."""
        return _report_of(self.gathered, self.raced.report, self.writing)


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
        trials: Candidates of each round's race, 0 for the fixed recipe.
        rounds: At most.
        programs: Further candidates, with what to call them.
        limits: Where the race stops before that.
        begun: When the compile began, by `time.monotonic`.
        folder: Where pairs and the report are written, None to write nothing.
        watch: Who is told of the progress.
        shared: Where everything else is kept, that folder or a database; None to keep nothing.
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
    programs: Sequence[tuple[str, Anytime]]
    limits: Limits
    begun: float
    folder: Path | None = None
    watch: Watch = field(default_factory=Watch)
    shared: AnyFolder | None = None

    def run(self) -> Anytime:
        """Returns the compiled program, with its report.

        Raises:
            AnytimeError: As `PDP.compile` says.
        """
        return self._searched() if self.trials else self._by_recipe()

    def _by_recipe(self) -> Anytime:
        with held(self.shared, "preparing"), self._keeping_calls():
            gathered = self._gathered(self.student, self.sampling)
        selected = select_pairs(gathered.pairs)
        compiled = prompted(self.student, selected, contrastive=self.contrastive)
        return self._reported(compiled, [gathered], [_report_of(gathered)], selected, None)

    def _searched(self) -> Anytime:
        steps: list[_Step] = []
        leader = Candidate()
        while len(steps) < self.rounds:
            last = len(steps) == self.rounds - 1
            step = self._step(steps, leader, None if last else SCOUTING)
            if step is None:
                # The race of the round before has only scouted: it is run to its end.
                with self._keeping_calls(), phase("racing"):
                    steps[-1] = replace(steps[-1], raced=steps[-1].race.run())
                break
            steps.append(step)
            report = step.raced.report
            if last or report.stopped or report.level:
                break
            if report.standings[report.leader].gain.mean > 0:
                leader = step.raced.candidates[report.leader]
        best = steps[-1].raced.winner
        compiled = best.applied(self.student)
        rounds = [step.report for step in steps]
        found_by = searched(
            [(step.raced.report, str(step.raced.winner)) for step in steps],
            sum((one.search + one.writing for one in rounds), Usage()),
        )
        self._reported(compiled, [step.gathered for step in steps], rounds, best.pairs, found_by)
        _like_dspys(compiled, self.student, [step.raced for step in steps], found_by.score)
        return compiled

    def _step(self, steps: Sequence[_Step], best: Candidate, heats: int | None) -> _Step | None:
        """Runs the next round; None where it gave nothing to race, and there is something from the rounds before."""
        number = len(steps)
        try:
            # Whoever shares the folder waits here, and finds everything done.
            with held(self.shared, "preparing"), self._keeping_calls():
                sampling, proposing = self._sampling(number, best)
                earlier = [group for step in steps for group in step.gathered.groups]
                program = best.applied(self.student)
                shown = shown_inputs(program, best.pairs) if steps else frozenset()
                gathered = self._gathered(program, sampling, shown, earlier)
                pool, writing = self._pool(gathered, steps, sampling)
        except RunError:
            raise
        except AnytimeError as error:
            if not steps:
                raise
            logger.warning("Round %d gave nothing to race (%s): what was found before stands", number, error)
            return None
        pool = replace(pool, best=best if steps else None, programs=self.programs)
        writing += proposing
        prepared = gathered.synthesis + gathered.squeezing + gathered.judge.usage + writing
        before = sum((step.report.usage for step in steps), prepared)
        candidates = pool.candidates(self.trials, self.sampling.seed)
        race = Race(
            self.student,
            candidates,
            pool.squeezed,
            self.validation,
            TrialStore(self.shared, f"round-{number}"),
            Meter(self.limits, before, self.begun, self._paid(best, sampling)),
            round=number,
            on_trial=self.watch.on_trial,
        )
        with self._keeping_calls(), phase("racing"):
            raced = race.run(heats)
        logger.info("Round %d: %s", number, verdict(raced.report))
        return _Step(gathered, race, raced, writing)

    def _paid(self, best: Candidate, sampling: Sampling) -> dict[str, int]:
        """Of how many heats the log has the student's runs, and those of the best one of the round before."""
        if not self.shared:
            return {}
        asked, sampled = (
            {content_hash(example.inputs().toDict()) for example in examples}
            for examples in (self.validation.examples, self.trainset)
        )
        all_heats = len(heat_ends(len(asked))) if asked <= sampled else 0
        raced = SCOUTING if sampling.round else 0
        # What a round samples as it is are the runs of the race; the student's are those of the first round.
        return {Candidate().key: max(raced, all_heats), best.key: max(raced, all_heats)}

    def _sampling(self, number: int, best: Candidate) -> tuple[Sampling, Usage]:
        """How a round samples: where there are samples enough, in styles that the LM proposes too, at a call's cost.

        The best program of the rounds before gives fewer samples: they are right more often. Its first is what it runs
        in the race; the student's own first is the first round's.
        """
        sampling = replace(self.sampling, round=number, as_it_is=not number or best != Candidate())
        if number:
            return replace(sampling, samples=max(1, sampling.samples // 3), styles=(PLAIN,)), Usage()
        wanted = min(PROPOSALS, sampling.samples - len(sampling.styles))
        if wanted < 1:  # no sample would be left for them
            return sampling, Usage()
        with self._asking(), phase("writing styles and instructions"):
            proposed = proposed_styles(self.student, wanted)
        return replace(sampling, styles=(*sampling.styles, *proposed.styles)), proposed.usage

    def _gathered(
        self,
        program: Anytime,
        sampling: Sampling,
        shown: frozenset[str] = frozenset(),
        earlier: Sequence[TraceGroup] = (),
    ) -> Gathered:
        panel = Panel(
            self.validation.metric,
            self.trainset,
            self.answer_key,
            sampling.threads,
            sampling.seed,
            AnswerCache(self.shared / "judged.jsonl" if self.shared else None),
            own_lm(self.student),
        )
        gathering = Gathering(
            self.student,
            self.trainset,
            panel,
            self.judge,
            squeeze=self.trials > 0,
            folder=self.shared,
            on_trace=self.watch.on_trace,
            on_squeezed=self.watch.on_squeezed,
        )
        done = gathering.gathered(program, sampling, shown, earlier)
        if self.folder and sampling.round == 0:
            write_pairs(self.folder / "pairs.jsonl", done.preferences)  # paid for, whatever happens next
        return done

    def _pool(self, gathered: Gathered, steps: Sequence[_Step], sampling: Sampling) -> tuple[Pool, Usage]:
        squeezed = [*gathered.squeezed]
        for step in reversed(steps):
            squeezed += step.gathered.squeezed if len(one_an_example(squeezed)) < ENOUGH else ()
        with self._asking(), phase("writing styles and instructions"):
            return pool_of(
                self.student,
                gathered,
                squeezed,
                contrastive=self.contrastive,
                sampling=sampling,
                write=self.trials >= WRITING_TRIALS,
            )

    def _reported(
        self,
        compiled: Anytime,
        gathered: Sequence[Gathered],
        rounds: Sequence[Round],
        selected: Sequence[PreferencePair],
        searched: Searched | None,
    ) -> Anytime:
        pairs = [pair for one in gathered for pair in one.preferences]
        shown = [pair for pair in selected if pair.gap <= 0]
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
            squeezed=sum(len(one.squeezed) for one in gathered),
            synthesis=sum((one.synthesis + one.squeezing for one in gathered), Usage()),
            judging=sum((one.judge.usage for one in gathered), Usage()),
            gold=gold_agreement(pairs, self.trainset, metric),
            gold_selected=gold_agreement(selected, self.trainset, metric),
            search=searched,
            rounds=tuple(rounds),
        )
        if self.folder:
            # Those who share the folder end together, since each waits for the last trial.
            with held(self.folder, "reporting"):
                write_pairs(self.folder / "pairs.jsonl", [*pairs, *shown], selected)
                write_json(self.folder / "report.json", compiled.compile_report)
        return compiled

    def _asking(self) -> AbstractContextManager[None]:
        """Where the LM is asked to write: the program's own, if it has one."""
        lm = own_lm(self.student)
        return nullcontext() if lm is None else dspy.context(lm=lm)

    def _keeping_calls(self) -> AbstractContextManager[None]:
        """Calls that are kept, those of other processes included that had ended when it was entered."""
        return keeping_calls(self.shared / "calls.jsonl") if self.shared else nullcontext()


def _report_of(gathered: Gathered, race: RaceReport | None = None, writing: Usage | None = None) -> Round:
    squeezed = gathered.squeezed
    before = {(group.example_index, trace.sample): trace for group in gathered.groups for trace in group.traces}
    originals = [before[pair.example_index, pair.chosen.sample].checkpoints[-1] for pair in squeezed]
    return Round(
        traces=gathered.traces,
        failed=gathered.failed,
        judge=gathered.judge,
        styles=gathered.styles,
        pairs=len(gathered.preferences),
        squeezed=len(squeezed),
        tokens=(
            fmean(checkpoint.reasoning_tokens for checkpoint in originals),
            fmean(pair.chosen.reasoning_tokens for pair in squeezed),
        )
        if squeezed
        else None,
        race=race,
        synthesis=gathered.synthesis,
        squeezing=gathered.squeezing,
        writing=writing or Usage(),
        search=race.usage if race else Usage(),
    )


def _like_dspys(compiled: Anytime, student: Anytime, races: Sequence[Raced], score: float) -> None:
    """Leaves on the program what DSPy's own optimisers leave, scores in percent as theirs.

    A candidate's score is the student's and the gain that is believed of it: those that ran fewer examples compare.
    """
    tried = [
        (standing, candidate, race.report.student.score or 0.0)
        for race in races
        for standing, candidate in zip(race.report.standings, race.candidates, strict=True)
    ]
    ran = [one for one in tried if one[0].scores and one[0].state != "failed"]
    compiled.score = _percent(score)
    compiled.candidate_programs = [
        {"score": _percent(own + standing.gain.mean), "program": candidate.applied(student)}
        for standing, candidate, own in sorted(ran, key=lambda one: -(one[2] + one[0].gain.mean))
    ]
    compiled.trial_logs = {
        place: {
            "score": _percent(own + standing.gain.mean),
            "state": standing.state,
            "examples": len(standing.scores),
            "candidate": standing.kind,
        }
        for place, (standing, _, own) in enumerate(tried)
    }


def _percent(score: float) -> float:
    return round(100 * score, 2)
