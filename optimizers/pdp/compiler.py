"""One compile, from the student to the compiled program: the fixed recipe, or rounds that end in races."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from anytime_dspy.anytime import Anytime
from anytime_dspy.checkpoint import Usage
from anytime_dspy.errors import AnytimeError, RunError
from anytime_dspy.optimizers.pairs.pair import PreferencePair, select_pairs, write_pairs
from anytime_dspy.optimizers.pdp.job import CompileJob
from anytime_dspy.optimizers.pdp.report import CompileReport, gold_agreement, searched
from anytime_dspy.optimizers.pdp.round_run import RoundRun
from anytime_dspy.optimizers.prompts.render import prompted
from anytime_dspy.optimizers.prompts.style_proposals import proposed_styles
from anytime_dspy.optimizers.search.race import SCOUTING, Raced
from anytime_dspy.optimizers.search.space import Candidate
from anytime_dspy.optimizers.search.verdict import verdict
from anytime_dspy.optimizers.traces.sampling import Sampling
from anytime_dspy.optimizers.traces.styles import PLAIN
from anytime_dspy.profiling import phase
from anytime_dspy.storage.jsonl import write_json
from anytime_dspy.storage.locks import held

__all__ = ["compiled_by_race", "compiled_by_recipe"]

logger = logging.getLogger(__name__)

PROPOSALS = 2
"""The largest number of styles that the LM is asked to propose."""


def compiled_by_recipe(job: CompileJob) -> Anytime:
    """Returns the student with the pair that has the largest gap at each budget in its prompt, as in the paper.

    Raises:
        AnytimeError: As `PDP.compile` says.
    """
    only = RoundRun(job, job.sampling)
    with held(job.shared, "preparing"), job.keeping_calls():
        only.gather()
    selected = select_pairs(only.pairs)
    compiled = prompted(job.student, selected, contrastive=job.options.contrastive)
    compiled.compile_report = _reported(job, [only], selected)
    return compiled


def compiled_by_race(job: CompileJob) -> Anytime:
    """Returns the program that wins the race of the last round: the best candidate, or the student.

    Raises:
        AnytimeError: As `PDP.compile` says.
    """
    rounds: list[RoundRun] = []
    races: list[Raced] = []
    leader, lost = Candidate(), Usage()
    while len(rounds) < job.rounds:
        last = len(rounds) == job.rounds - 1
        current = _prepared(job, rounds, leader)
        if isinstance(current, Usage):
            lost = current
            races[-1] = rounds[-1].run_race()  # it stopped after the scouting heats
            break
        rounds.append(current)
        races.append(current.run_race(None if last else SCOUTING))
        report = races[-1].report
        logger.info("Round %d: %s", len(rounds) - 1, verdict(report))
        if last or report.stopped or report.level:
            break
        if report.standings[report.leader].gain.mean > 0:
            leader = races[-1].candidates[report.leader]
        if leader.labelled:  # it answers without reasoning, so its traces hold nothing to squeeze
            races[-1] = rounds[-1].run_race()
            break
    best = races[-1].winner
    compiled = best.applied(job.student)
    compiled.compile_report = _reported(job, rounds, best.pairs, lost)
    _set_dspy_attributes(compiled, job.student, races)
    return compiled


def _prepared(job: CompileJob, before: Sequence[RoundRun], best: Candidate) -> RoundRun | Usage:
    """Returns the next round, ready to race; if it failed and an earlier one can be used instead, what it cost."""
    number, current = len(before), None
    try:
        # Another process with the same folder waits here, and then finds all of this done.
        with held(job.shared, "preparing"), job.keeping_calls():
            sampling, proposing = _sampling(job, number, best)
            current = RoundRun(job, sampling, best, before, writing=proposing)
            current.gather()
            current.prepare_race()
    except RunError:
        raise
    except AnytimeError as error:
        if not before:
            raise
        logger.warning("Round %d has nothing to race (%s): the result of the round before stands", number, error)
        return current.paid if current else Usage()
    return current


def _sampling(job: CompileJob, number: int, best: Candidate) -> tuple[Sampling, Usage]:
    """How a round samples, and what asking the LM for styles cost.

    The first sample of an example is the run that the race also needs. So it is taken as it is, unless the first round
    has already done that for the student. Later rounds take fewer samples, since their program is right more often.
    """
    sampling = replace(job.sampling, round=number, as_it_is=not number or best != Candidate())
    if number:
        return replace(sampling, samples=max(1, sampling.samples // 3), styles=(PLAIN,)), Usage()
    wanted = min(PROPOSALS, sampling.samples - len(sampling.styles))
    if wanted < 1:  # there are no samples left for further styles
        return sampling, Usage()
    with job.writing_lm(), phase("writing styles and instructions"):
        proposed = proposed_styles(job.student, wanted)
    return replace(sampling, styles=(*sampling.styles, *proposed.kept)), proposed.usage


def _reported(
    job: CompileJob, runs: Sequence[RoundRun], selected: Sequence[PreferencePair], lost: Usage | None = None
) -> CompileReport:
    """Returns the report, and stores it with all pairs.

    Args:
        job: The compile.
        runs: Its rounds.
        selected: The pairs that the program shows.
        lost: What a round cost that failed.
    """
    pairs = [pair for one in runs for pair in one.preferences]
    rounds = tuple(one.report for one in runs)
    first, metric = rounds[0], job.validation.metric
    report = CompileReport(
        judge=first.judge.judge,
        reason=first.judge.reason,
        reliability=first.judge.reliability,
        judged=first.judge,
        traces=first.traces,
        failed=first.failed,
        pairs=len(pairs),
        selected=tuple(selected),
        squeezed=sum(one.squeezed for one in rounds),
        synthesis=sum((one.synthesis + one.squeezing for one in rounds), lost or Usage()),
        judging=sum((one.judge.usage for one in rounds), Usage()),
        gold=gold_agreement(pairs, job.trainset, metric),
        gold_selected=gold_agreement(selected, job.trainset, metric),
        search=searched(rounds),
        rounds=rounds,
    )
    if job.folder:
        # Processes that share the folder end together, since each waits for the last trial.
        with held(job.folder, "reporting"):
            shown = [pair for pair in selected if pair.gap <= 0]  # demonstrations that are no preference
            write_pairs(job.folder / "pairs.jsonl", [*pairs, *shown], selected)
            write_json(job.folder / "report.json", report)
    return report


def _set_dspy_attributes(compiled: Anytime, student: Anytime, races: Sequence[Raced]) -> None:
    """Sets `score`, `candidate_programs` and `trial_logs` as DSPy's own optimisers do, with scores in percent.

    A candidate's score is the student's plus the candidate's estimated gain, so that candidates that ran on fewer
    examples can be compared.
    """
    tried = [
        (standing, candidate, race.report.student.score or 0.0)
        for race in races
        for standing, candidate in zip(race.report.standings, race.candidates, strict=True)
    ]
    ran = [one for one in tried if one[0].scores and one[0].state != "failed"]
    compiled.score = _percent(compiled.compile_report.search.score)
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
