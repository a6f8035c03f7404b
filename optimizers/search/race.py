"""The race: all candidates run the same examples in the same order, and after each heat the best third goes on."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from anytime_dspy.anytime import Anytime
from anytime_dspy.checkpoint import Usage
from anytime_dspy.errors import AnytimeError
from anytime_dspy.optimizers.pairs.pair import PreferencePair
from anytime_dspy.optimizers.search.effects import Gain, Measured, examples_needed, gains, item_sd
from anytime_dspy.optimizers.search.limits import Limits
from anytime_dspy.optimizers.search.pool import COMPOSED, composed
from anytime_dspy.optimizers.search.progress import OnTrial, RaceProgress
from anytime_dspy.optimizers.search.race_report import STUDENT, RaceReport, Standing
from anytime_dspy.optimizers.search.space import Candidate, shown_inputs
from anytime_dspy.optimizers.search.trial_store import Entry, Trial, TrialStore
from anytime_dspy.optimizers.search.trials import SURE, Evaluation, Slots, SpendingLimit, Validation
from anytime_dspy.parallel import map_unordered
from anytime_dspy.storage.jsonl import content_hash

__all__ = ["FIRST_HEAT", "KEPT", "SCOUTING", "Race", "Raced", "heat_ends"]

logger = logging.getLogger(__name__)

FIRST_HEAT = 8
"""The number of examples in the first heat; each further heat doubles the total."""

SCOUTING = 2
"""The heats of a round that is not the last: enough to choose the program to sample next. LMs imitate the
demonstrations they see, faulty formatting included, so a set with a better score also yields better traces."""

KEPT = 3
"""One in this many candidates goes on after a heat. Eight examples tell sets apart well enough that it is better to
start with more of them."""

LIKELY = 0.5
"""There is overtime only if the probability of the leader's gain is above this."""

FINALISTS = 3
"""The number of candidates in a full overtime. Of a finished race of ours the leader was the worst of its best seven on
fresh examples: it had led on examples that it, and the candidate that it was made from, had been chosen by."""


@dataclass(frozen=True)
class Raced:
    """A finished race.

    Attributes:
        candidates: The candidates, by number.
        report: Their results.
    """

    candidates: tuple[Candidate, ...]
    report: RaceReport

    @property
    def winner(self) -> Candidate:
        """The candidate that is returned; the student if no gain is sure."""
        return self.candidates[self.report.winner]


def heat_ends(examples: int) -> tuple[int, ...]:
    """Returns the number of examples run by the end of each heat.

    Example:
        >>> heat_ends(64), heat_ends(40), heat_ends(5)
        ((8, 16, 32, 64), (8, 16, 40), (5,))
    """
    ends = []
    end = FIRST_HEAT
    while end * 1.5 <= examples:
        ends.append(end)
        end *= 2
    return (*ends, examples)


class Race:
    """One race, whose store several processes may share: each claims trials that no other process is running.

    Eliminations and composed sets depend only on complete heats, so all processes reach the same result, also after a
    restart.

    Overtime is run on further examples. If there are as many as in the heats, the student and the best candidates run
    that many, those that were eliminated included. What is left, or is too little for that, is run by the student and
    the leader alone, and only if its gain is likely but not sure: whoever takes less than the default for sure loses no
    examples.

    Args:
        student: The program that candidates are made from.
        candidates: The candidates, the student first.
        squeezed: The pairs that new sets are composed of.
        validation: The examples and the metric.
        store: The trials.
        limit: What the compile may spend, and has spent before this race.
        round: The number of the round. Its candidates descend from the leader of the round before, so the examples that
            chose it come last.
        on_trial: Called after each trial.
    """

    def __init__(
        self,
        student: Anytime,
        candidates: Sequence[Candidate],
        squeezed: Sequence[PreferencePair],
        validation: Validation,
        store: TrialStore,
        limit: SpendingLimit,
        *,
        round: int = 0,
        on_trial: OnTrial | None = None,
    ) -> None:
        self._student = student
        self._candidates = list(candidates)
        self._squeezed = squeezed
        self._validation = validation
        self._store = store
        self._limit = limit
        self._round = round
        self._on_trial = on_trial
        self._began = time.monotonic()
        self._ran = 0
        self._errors: dict[int, str] = {}
        self._examples = [*validation.examples, *validation.overtime]
        self._ends = heat_ends(len(validation.examples))
        first = round * self._ends[:SCOUTING][-1] % len(validation.examples)
        places, count = range(len(self._examples)), len(validation.examples)
        self._order = [*places[first:count], *places[:first], *places[count:]]
        self._heats = self._last = len(self._ends)
        self._composing = min(1, self._heats - 1)
        self._slots = Slots(validation.threads)
        self._skipped: dict[int, frozenset[str]] = {}
        self._entered: set[tuple[int, int]] = set()

    def run(self, heats: int | None = None) -> Raced:
        """Runs the heats, or as many as the limits allow.

        Args:
            heats: Runs only this many heats, without composing sets, to find the leader; a later call continues.

        Raises:
            AnytimeError: The student could not be evaluated, or the metric cannot score.
        """
        remaining = list(range(len(self._candidates)))
        level = False
        stopped: str | None = None
        self._last = min(self._heats, heats or self._heats)
        for heat in range(self._last):
            stopped = self._run(remaining, heat)
            remaining = [number for number in remaining if number not in self._errors]
            if stopped:
                break
            level = heat == 0 and len(remaining) > 1 and self._is_level(remaining)
            if level:
                logger.warning("All %d candidates score the same on every example of the first heat", len(remaining))
                break
            if heat == self._composing and self._last == self._heats:
                remaining += self._compose(heat)
                stopped = self._run(remaining, heat)
                remaining = [number for number in remaining if number not in self._errors]
                if stopped:
                    break
            if heat < self._heats - 1:
                remaining = self._best_third(remaining, heat)
        report = self._report(remaining, stopped, level)
        while self._last == self._heats and (finalists := self._finalists(report)):
            self._ends = (*self._ends, self._ends[-1] + self._overtime())
            remaining = [STUDENT, *finalists]
            stopped = self._run(remaining, len(self._ends) - 1)
            report = self._report([number for number in remaining if number not in self._errors], stopped, level)
        return Raced(tuple(self._candidates), report)

    def _overtime(self) -> int:
        """The number of examples of the next overtime: as many as in the heats at first, then all that are left."""
        heats, left = self._ends[self._heats - 1], len(self._examples) - self._ends[-1]
        return heats if len(self._ends) == self._heats and left >= heats else left

    def _finalists(self, report: RaceReport) -> list[int]:
        """The candidates that run the next overtime; none if there is none."""
        overtime = self._overtime()
        if not overtime or report.stopped or report.level or not report.leader:
            return []
        if report.standings[report.leader].gain.chance <= LIKELY:
            return []
        if len(self._ends) > self._heats or overtime < self._ends[-1]:
            settled = report.standings[report.leader].gain.chance >= max(self._validation.sure, SURE)
            return [] if settled else [report.leader]
        others = [one for one in report.standings[1:] if one.scores and not one.error and one.number != report.leader]
        best = sorted(others, key=lambda one: (-round(one.gain.mean, 9), one.number))
        return sorted([report.leader, *(one.number for one in best[: FINALISTS - 1])])

    def _run(self, remaining: Sequence[int], heat: int) -> str | None:
        """Runs these candidates up to the end of this heat; returns the limit that stopped it, if one did."""
        self._entered |= {(number, one) for number in remaining for one in range(heat + 1)}
        while True:
            done = self._done()
            todo = [
                Entry(self._candidates[number].key, one)
                for one in range(heat + 1)
                for number in remaining
                if (number, one) not in done and number not in self._errors
            ]
            if STUDENT in self._errors:
                raise AnytimeError(
                    f"the student failed, so there is nothing to compare with ({self._errors[STUDENT]}): fix the LM, "
                    "and compile again"
                )
            if not todo:
                return None
            stopped = self._limit.reached(self._store.spent())
            if stopped:
                return stopped
            with self._store.claim(todo, self._at_once) as claimed:
                done = self._done()
                numbers = [(self._numbers[entry.key], entry.heat) for entry in claimed]
                fresh = [place for place in numbers if place not in done]
                for _, trial in map_unordered(self._trial, fresh, max(1, len(fresh))):
                    self._store.add(trial)
                    self._ran += len(trial.scores)
                    if trial.error:
                        self._errors[self._numbers[trial.key]] = trial.error
                        logger.warning("The candidate %s failed: %s", trial.kind, trial.error)
                    self._tell(remaining, heat)

    @property
    def _at_once(self) -> int:
        """The number of trials claimed together: enough to keep all threads busy, fewer if there are limits."""
        busy = math.ceil(self._validation.threads / FIRST_HEAT)
        return busy if self._limit.limits != Limits() else 4 * busy

    def _trial(self, of: tuple[int, int]) -> Trial:
        number, heat = of
        candidate = self._candidates[number]
        program = candidate.applied(self._student)
        examples = {place: self._examples[place] for place in self._places(number, heat)}
        evaluation = Evaluation(examples, self._validation.metric, self._slots)
        error = None
        if evaluation.places:
            try:
                evaluation(program)
            except AnytimeError:
                raise
            except Exception as failure:  # an LM's failure is no score
                error = f"{type(failure).__name__}: {failure}"
        prompts = evaluation.prompt_tokens
        return Trial(
            key=candidate.key,
            heat=heat,
            kind=str(candidate),
            scores=evaluation.scores,
            prompt_tokens=sum(prompts) / max(1, len(prompts)),
            usage=Usage() if heat < self._limit.paid.get(candidate.key, 0) else evaluation.usage,
            error=error,
        )

    def _places(self, number: int, heat: int) -> list[int]:
        """The positions of a heat's examples, without those that the candidate shows."""
        if number not in self._skipped:
            candidate = self._candidates[number]
            self._skipped[number] = shown_inputs(candidate.applied(self._student), candidate.shown)
        begin = self._ends[heat - 1] if heat else 0
        places = self._order[begin : self._ends[heat]]
        return [place for place in places if self._inputs[place] not in self._skipped[number]]

    @cached_property
    def _inputs(self) -> list[str]:
        return [content_hash(example.inputs().toDict()) for example in self._examples]

    @property
    def _numbers(self) -> dict[str, int]:
        return {candidate.key: number for number, candidate in enumerate(self._candidates)}

    def _done(self) -> dict[tuple[int, int], Trial]:
        """The successful trials so far, by candidate number and heat.

        The store may hold more: of a process that is ahead, or died later, and has run heats that finalists lacked.
        """
        numbers = self._numbers
        stored = {(numbers.get(entry.key, -1), entry.heat): trial for entry, trial in self._store.trials().items()}
        return {place: trial for place, trial in stored.items() if place in self._entered and trial.error is None}

    def _scores(self, heat: int) -> list[dict[int, float]]:
        """The scores of each candidate up to a heat: the same in every process, also after a restart."""
        done = self._done()
        scores: list[dict[int, float]] = [{} for _ in self._candidates]
        for number, ran in sorted(done):
            if ran <= heat:
                scores[number].update(done[number, ran].scores)
        return scores

    def _measured(self, heat: int) -> list[Measured]:
        """The paired scores up to a heat of all candidates except the student."""
        own, *others = self._scores(heat)
        return [
            Measured(candidate.features, {place: score - own[place] for place, score in scores.items() if place in own})
            for candidate, scores in zip(self._candidates[1:], others, strict=True)
        ]

    def _is_level(self, remaining: Sequence[int]) -> bool:
        scores = self._scores(0)
        return len({round(score, 9) for number in remaining for score in scores[number].values()}) <= 1

    def _best_third(self, remaining: Sequence[int], heat: int) -> list[int]:
        estimates = gains(self._measured(heat))
        others = [number for number in remaining if number != STUDENT]
        kept = sorted(others, key=lambda number: -estimates[number - 1].mean)[: math.ceil(len(others) / KEPT)]
        return [STUDENT, *sorted(kept)]

    def _compose(self, heat: int) -> list[int]:
        made = composed(self._candidates[1:], self._measured(heat), self._squeezed)
        self._candidates += made
        return list(range(len(self._candidates) - len(made), len(self._candidates)))

    def _report(self, remaining: Sequence[int], stopped: str | None, level: bool) -> RaceReport:
        done = self._done()
        scores = self._scores(len(self._ends) - 1)
        if not scores[STUDENT]:
            raise AnytimeError(f"the limit of {stopped} was reached before the student's first trial ended: raise it")
        measured = self._measured(len(self._ends) - 1)
        estimates = [Gain(0.0, 0.0, 0.0), *gains(measured)]
        standings = []
        for number, candidate in enumerate(self._candidates):
            trials = [done[place] for place in sorted(done) if place[0] == number]
            items = list(measured[number - 1].gains.values()) if number else []
            standings.append(
                Standing(
                    number=number,
                    kind=str(candidate),
                    scores=scores[number],
                    heats=len(trials),
                    state="failed" if number in self._errors else "finished" if number in remaining else "left",
                    raw=sum(items) / len(items) if items else None,
                    gain=estimates[number],
                    prompt_tokens=max((trial.prompt_tokens for trial in trials), default=0.0),
                    usage=sum((trial.usage for trial in trials), Usage()),
                    error=self._errors.get(number),
                )
            )
        running = [one for one in standings if one.number in remaining and one.number != STUDENT and one.scores]
        leader = max(running, key=lambda one: (round(one.gain.mean, 9), -one.prompt_tokens), default=standings[STUDENT])
        sure = self._validation.sure
        return RaceReport(
            standings=tuple(standings),
            winner=leader.number if not level and leader.gain.chance >= sure else STUDENT,
            leader=leader.number,
            heats=self._ends,
            needed=examples_needed(leader.gain.mean, item_sd(measured), sure),
            stopped=stopped,
            level=level,
            sure=sure,
        )

    def _tell(self, remaining: Sequence[int], heat: int) -> None:
        if self._on_trial is None:
            return
        done = self._done()
        here = [(number, one) for number in remaining for one in range(heat + 1)]
        running = [number for number in remaining if number != STUDENT and number not in self._errors]
        leader = None
        measured = {number for number, _ in done}
        if STUDENT in measured:
            estimates = gains(self._measured(heat))
            ran = [number for number in running if number in measured]
            leader = max(((estimates[number - 1], number) for number in ran), key=lambda one: one[0].mean, default=None)
        ahead = self._ahead(len(running), heat) + sum(
            self._ends[one] - (self._ends[one - 1] if one else 0) for number, one in here if (number, one) not in done
        )
        each = (time.monotonic() - self._began) / self._ran if self._ran else None
        self._on_trial(
            RaceProgress(
                round=self._round,
                heat=heat,
                heats=max(self._last, heat + 1),
                remaining=len(running),
                trials=sum(place in done for place in here),
                of=len(here),
                leader=str(self._candidates[leader[1]]) if leader else None,
                gain=leader[0].mean if leader else None,
                interval=leader[0].interval if leader else None,
                spent=self._limit.before + self._store.spent(),
                seconds_left=None if each is None else each * ahead,
            )
        )

    def _ahead(self, running: int, heat: int) -> int:
        """The number of examples to run in the heats after this one, over all candidates."""
        sweeps = 0
        for one in range(heat, self._last - 1):
            composes = one == self._composing and self._last == self._heats and self._squeezed
            composing = len(COMPOSED) if composes else 0
            running = math.ceil((running + composing) / KEPT)
            sweeps += composing * self._ends[one] + (running + 1) * (self._ends[one + 1] - self._ends[one])
        return sweeps
