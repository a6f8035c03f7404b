"""The compilers.

Each has its own defaults, except where a line below says otherwise; `Settings` says why. Whatever takes a seed gets the
cell's.

What is taken of a compiler that the limit stops:

- BootstrapFewShotWithRandomSearch, MIPROv2, GEPA: the best program by then of those measured on the whole validation
  set, which is what they themselves choose by.
- SIMBA: the program with the best score on a mini-batch, which is approximate; see `MiniBatchWatcher`.
- LEAP, PDP and PDP(+) by the paper's recipe: nothing, so the student; they have one program, at their end.
- PDP raced: its own best. It stops itself, but between two trials: so it is told to stop at the first of
  `Settings.shares` with which all of it ends within the limit. Tries that went beyond it are thrown away. Where there
  is no such share, or its tokens are gone before it has measured anything, the student.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import dspy

from anytime_dspy.answers import AnswerKey
from anytime_dspy.anytime import Anytime
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.optimizers import LEAP, PDP
from anytime_dspy.optimizers.search.limits import Limits
from experiments.compilers.settings import Settings
from experiments.compilers.watching import MiniBatchWatcher, ValidationWatcher, Watcher

__all__ = ["BASE", "COMPILERS", "Job", "Method"]

BASE = "Base"


@dataclass(frozen=True)
class Job:
    """What a compiler is given.

    Attributes:
        student: The plain program.
        train: What it learns from.
        validation: What it chooses by.
        metric: The committed Anytime Index.
        answer_key: Makes answers comparable.
        lm: Runs the student, and writes whatever the compiler has written.
        seed: Of what it draws.
        threads: Examples run at the same time.
        settings: The plan's.
        tokens: What it is told that it may use, where it can be told.
    """

    student: Anytime
    train: Sequence[dspy.Example]
    validation: Sequence[dspy.Example]
    metric: AnytimeIndex
    answer_key: AnswerKey
    lm: dspy.LM
    seed: int
    threads: int
    settings: Settings
    tokens: int


def _nobody(job: Job) -> Watcher:
    return Watcher()


@dataclass(frozen=True)
class Method:
    """A compiler.

    Attributes:
        compile: Returns the compiled program.
        uses: The settings that decide what comes of it.
        watcher: Sees which programs it has scored.
        peer: Whether it is DSPy's own.
        stops_itself: Whether it can be told how many tokens it may use.
    """

    compile: Callable[[Job], Anytime]
    uses: tuple[str, ...] = field(default=(), kw_only=True)
    watcher: Callable[[Job], Watcher] = field(default=_nobody, kw_only=True)
    peer: bool = field(default=False, kw_only=True)
    stops_itself: bool = field(default=False, kw_only=True)


def _random_search(job: Job) -> Anytime:
    optimiser = dspy.BootstrapFewShotWithRandomSearch(
        job.metric,
        max_bootstrapped_demos=job.settings.demos,
        max_labeled_demos=job.settings.demos,
        num_threads=job.threads,
    )
    return _anytime(optimiser.compile(job.student, trainset=list(job.train), valset=list(job.validation)))


def _mipro(job: Job) -> Anytime:
    optimiser = dspy.MIPROv2(
        job.metric,
        auto="light",
        max_bootstrapped_demos=job.settings.demos,
        max_labeled_demos=job.settings.demos,
        num_threads=job.threads,
        seed=job.seed,
    )
    return _anytime(optimiser.compile(job.student, trainset=list(job.train), valset=list(job.validation)))


def _simba(job: Job) -> Anytime:
    """SIMBA takes no validation set: it learns from both sets, and chooses by both."""
    optimiser = dspy.SIMBA(
        metric=job.metric,
        bsize=_simba_batch(job),
        num_candidates=job.settings.simba_candidates,
        max_steps=job.settings.simba_steps,
        max_demos=job.settings.demos,
        num_threads=job.threads,
    )
    return _anytime(optimiser.compile(job.student, trainset=_both(job), seed=job.seed))


def _gepa(job: Job) -> Anytime:
    """GEPA reflects with the same LM, at the temperature that DSPy's documentation recommends for it."""
    optimiser = dspy.GEPA(
        job.metric,
        auto="light",
        reflection_lm=job.lm.copy(temperature=1.0),
        num_threads=job.threads,
        seed=job.seed,
    )
    return _anytime(optimiser.compile(job.student, trainset=list(job.train), valset=list(job.validation)))


def _leap(job: Job) -> Anytime:
    return LEAP(job.metric, threads=job.threads, seed=job.seed).compile(job.student, trainset=job.train)


def _recipe(*, contrastive: bool) -> Callable[[Job], Anytime]:
    def compiled(job: Job) -> Anytime:
        pdp = PDP(
            job.metric,
            contrastive=contrastive,
            trials=0,
            answer_key=job.answer_key,
            threads=job.threads,
            seed=job.seed,
        )
        return pdp.compile(job.student, trainset=job.train)

    return compiled


def _raced(judge: str, samples: int) -> Callable[[Job], Anytime]:
    """PDP takes both sets as one: it measures a candidate on the examples that the candidate does not show.

    Votes need more samples of an example than labels do.
    """

    def compiled(job: Job) -> Anytime:
        pdp = PDP(
            job.metric,
            judge=judge,
            samples=samples,
            trials=job.settings.race,
            limits=Limits(tokens=job.tokens),
            answer_key=job.answer_key,
            threads=job.threads,
            seed=job.seed,
        )
        return pdp.compile(job.student, trainset=_both(job))

    return compiled


def _by_validation(job: Job) -> Watcher:
    return ValidationWatcher(job.validation)


def _by_mini_batches(job: Job) -> Watcher:
    return MiniBatchWatcher(_both(job), job.metric, _simba_batch(job))


def _both(job: Job) -> list[dspy.Example]:
    return [*job.train, *job.validation]


def _simba_batch(job: Job) -> int:
    return min(job.settings.simba_batch, len(_both(job)))


def _anytime(program: object) -> Anytime:
    """DSPy is not typed; each of its optimisers returns a program of the student's class."""
    assert isinstance(program, Anytime)
    return program


# In the order in which a seed's cells run.
COMPILERS = {
    "PDP raced with gold": Method(_raced("metric", samples=2), uses=("race", "shares"), stops_itself=True),
    "MIPROv2": Method(_mipro, uses=("demos",), watcher=_by_validation, peer=True),
    "BootstrapFewShotWithRandomSearch": Method(_random_search, uses=("demos",), watcher=_by_validation, peer=True),
    "PDP raced": Method(_raced("auto", samples=4), uses=("race", "shares"), stops_itself=True),
    "SIMBA": Method(
        _simba,
        uses=("demos", "simba_steps", "simba_candidates", "simba_batch"),
        watcher=_by_mini_batches,
        peer=True,
    ),
    "GEPA": Method(_gepa, watcher=_by_validation, peer=True),
    "PDP": Method(_recipe(contrastive=True)),
    "PDP(+)": Method(_recipe(contrastive=False)),
    "LEAP": Method(_leap),
}
