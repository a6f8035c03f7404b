"""The search: candidates measured on validation examples by the Anytime Index, the best of them first."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.budgeting import budget
from anytime_dspy.checkpoint import Usage
from anytime_dspy.errors import AnytimeError
from anytime_dspy.index import AnytimeIndex
from anytime_dspy.optimizers.limits import Limits, OnTrial, Progress
from anytime_dspy.optimizers.parallel import finished
from anytime_dspy.optimizers.space import Candidate
from anytime_dspy.optimizers.study import Trial, TrialBook

__all__ = ["Meter", "Validation", "best_trial", "measured_again", "rank", "search"]

logger = logging.getLogger(__name__)

BATCH = 8
"""Examples between two looks at whether a trial is worth going on with, whatever the number of threads."""


@dataclass(frozen=True)
class Validation:
    """What candidates are measured on.

    Attributes:
        examples: None of which a pair was made from.
        metric: The Anytime Index.
        threads: Examples run at the same time.
    """

    examples: Sequence[dspy.Example]
    metric: AnytimeIndex
    threads: int = 1


@dataclass(frozen=True)
class Meter:
    """What a compile has spent before this search, and where it has to stop.

    Attributes:
        limits: Of the whole compile.
        before: Spent before the search.
        begun: When the compile began, by `time.monotonic`.
    """

    limits: Limits
    before: Usage
    begun: float

    def reached(self, searching: Usage) -> str | None:
        """Returns the name of a limit that is reached, None where none is."""
        return self.limits.reached(self.before + searching, time.monotonic() - self.begun)


@dataclass(frozen=True)
class _Score:
    """One example, run and scored."""

    score: float
    prompt_tokens: int
    usage: Usage


def search(
    book: TrialBook,
    validation: Validation,
    *,
    trials: int,
    meter: Meter,
    round: int = 0,
    on_trial: OnTrial | None = None,
) -> list[Trial]:
    """Runs the trials of a study that nobody else has run or is running, and waits for those that others run.

    Args:
        book: The study; trials that it holds are not run again.
        validation: What to measure on.
        trials: Trials in all.
        meter: Says when to stop before that.
        round: For the progress.
        on_trial: Called after each batch of examples.

    Returns:
        The trials that have ended, in the order of their numbers; fewer where the candidates or a limit ran out.

    Raises:
        AnytimeError: The metric cannot score, or the program cannot be run under a budget at all.
    """
    began, ended_here = time.monotonic(), 0
    given_up: set[int] = set()  # the LM failed, or nothing was left to try

    def tell(number: int, ran: int, spent: Usage) -> None:
        if on_trial is None:
            return
        best = best_trial(book.trials())
        left = trials - len({*book.done(), *given_up})
        each = (time.monotonic() - began) / ended_here if ended_here else None
        on_trial(
            Progress(
                round=round,
                trial=number,
                trials=trials,
                examples=ran,
                of=len(validation.examples),
                best=best.score if best else None,
                spent=meter.before + book.spent() + spent,
                seconds_left=None if each is None else each * left,
            )
        )

    while not meter.reached(book.spent()):
        done = book.done()
        waiting = [number for number in range(trials) if number not in done and number not in given_up]
        if not waiting:
            break
        with book.turn(waiting) as number:
            candidate = None if number in book.done() else book.candidate(number)
            if candidate is None:
                given_up.add(number)
                continue
            trial = _measured(number, candidate, book, validation, meter, partial(tell, number))
            if trial is None:
                break
            book.add(trial)
            ended_here += 1
            if trial.state == "failed":
                given_up.add(number)
            tell(number, len(trial.scores), Usage())
    return book.trials()


def best_trial(trials: Iterable[Trial]) -> Trial | None:
    """Returns the complete trial with the best score; of equals the one with fewer prompt tokens, else the first."""
    complete = [trial for trial in trials if trial.state == "complete" and trial.score is not None]
    return min(complete, key=rank, default=None)


def rank(trial: Trial) -> tuple[float, float, int]:
    """Returns what trials are ordered by, the best first."""
    # Rounded, so that sums in another order are equals.
    return -round(trial.score or 0.0, 9), trial.prompt_tokens, trial.number


def measured_again(program: Anytime, validation: Validation) -> tuple[float, ...]:
    """Returns a program's score on each validation example, () where the LM fails.

    Where the compile keeps its calls, or DSPy its cache, this costs none: it then makes sure that the program that is
    returned is the one that was measured.
    """
    outcomes = dict(finished(partial(_run, program, validation.metric), validation.examples, validation.threads))
    failure = next((one for one in outcomes.values() if isinstance(one, Exception)), None)
    if failure is not None:
        logger.warning("The best program could not be measured again (%s): its trial's scores stand", failure)
        return ()
    return tuple(one.score for _, one in sorted(outcomes.items()) if isinstance(one, _Score))


def _measured(
    number: int,
    candidate: Candidate,
    book: TrialBook,
    validation: Validation,
    meter: Meter,
    tell: Callable[[int, Usage], None],
) -> Trial | None:
    """Runs a trial; None where a limit stopped it half-way."""
    program = book.space.prompt(candidate).applied(book.space.student)
    examples, ran, spent = validation.examples, list[_Score](), Usage()

    def trial_of() -> Trial:
        prompts = sum(one.prompt_tokens for one in ran) / max(len(ran), 1)
        return Trial(number, candidate, "complete", tuple(one.score for one in ran), prompts, spent)

    for start in range(0, len(examples), BATCH):
        if meter.reached(book.spent() + spent):
            return None
        batch = examples[start : start + BATCH]
        outcomes = dict(finished(partial(_run, program, validation.metric), batch, validation.threads))
        in_order = [outcomes[place] for place in range(len(batch))]
        failure = next((one for one in in_order if isinstance(one, Exception)), None)
        if failure is not None:
            return replace(trial_of(), state="failed", error=f"{type(failure).__name__}: {failure}")
        scored = [one for one in in_order if isinstance(one, _Score)]
        ran += scored
        spent += sum((one.usage for one in scored), Usage())
        tell(len(ran), spent)
        if len(ran) < len(examples) and book.hopeless([one.score for one in ran]):
            return replace(trial_of(), state="pruned")
    return trial_of()


def _run(program: Anytime, metric: AnytimeIndex, example: dspy.Example) -> _Score | Exception:
    # An outer budget that no run can exhaust: it adds up what was really spent, replayed calls left out.
    with budget(sum(program.budgets), answer_tokens=program.answer_tokens) as spent:
        try:
            prediction = program(**example.inputs())
        except AnytimeError:
            raise
        except Exception as error:  # an LM's failure is no score
            return error
    return _Score(metric(example, prediction), prediction.checkpoints[-1].usage.prompt_tokens, spent.usage)
