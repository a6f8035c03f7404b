"""A sweep in two jobs: all traces, then all forced answers; the sweep proper then finds every call answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import dspy
from filelock import FileLock, Timeout

from anytime_dspy.anytime import Anytime
from anytime_dspy.batch.checks import batch_lm, check_calls, check_program
from anytime_dspy.batch.gateway import BatchRequest, Gateway
from anytime_dspy.batch.jobs import BatchJob, Jobs
from anytime_dspy.batch.provider import BatchProvider
from anytime_dspy.errors import ModelError, RunError
from anytime_dspy.measure import named_examples, sweep
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.parallel import finished
from anytime_dspy.runtime.multi_budget import MultiBudgetRun
from anytime_dspy.runtime.predictors import named_predictors
from anytime_dspy.storage.results import ExampleResult
from anytime_dspy.storage.run_folder import RunStore

__all__ = ["sweep_batch"]

FOLDER = "batch"

MOST_ROUNDS = 12
"""Two where all goes well, one more for each option that the model refuses and for each try of what failed."""


def sweep_batch(
    program: Anytime,
    examples: Sequence[dspy.Example],
    metric: AnytimeIndex,
    *,
    store: RunStore,
    threads: int = 1,
    on_result: Callable[[ExampleResult], None] | None = None,
    on_job: Callable[[BatchJob], None] | None = None,
    poll_seconds: float = 30.0,
) -> list[ExampleResult]:
    """Sweeps as `sweep` does, by jobs of the provider's batch API: half the price, an answer within a day.

    The program has one predictor, and its LM is a `dspy.LM("openai/...")`, of OpenAI or of another server that speaks
    its files and batches API. The first job holds all traces, the second all forced answers; what fails in a job by no
    fault of its own is put into the next, three times at most. Jobs, requests and replies are kept in the run's folder
    under `batch/`: a process that was killed goes on with the jobs that it had submitted. The results are those of a
    live sweep; so are the dollars in them, which the provider halves. Only the seconds mean nothing.

    Args:
        program: The program; the LM is its predictor's own or that of the surrounding `dspy.context`.
        examples: What to run it on; each has an `id`, or is known by its place.
        metric: Scores the checkpoints.
        store: The run's folder; what is there already is not run again.
        threads: Examples put together, and scored, at the same time.
        on_result: Called in this thread with each result that comes in.
        on_job: Called in this thread with each job when it is submitted and whenever it gets on.
        poll_seconds: The most seconds between two questions about the jobs that are under way.

    Returns:
        One result per example, or per example of the shard, in the order of `examples`.

    Raises:
        DataError: There are no examples, two have the same id, or the folder is a shard of other examples.
        ProgramError: The program has several predictors, uses tools, calls its predictor several times, streams, stops
            early, or runs under another budget.
        ModelError: The LM has no batch API, the provider refuses a job, or it cannot be reached.
        RunError: The folder cannot be used, or another process works on its jobs.
        AnytimeError: Every example failed; the message is the first one's.
    """
    named = named_examples(examples, store)
    check_program(program)
    lm = batch_lm(program)
    done = store.done()
    waiting = [example.inputs().toDict() for name, example in named.items() if name not in done]
    folder = store.path / FOLDER
    with _alone(folder):
        jobs = Jobs(folder, BatchProvider.of(lm, poll_seconds), poll_seconds, on_job or _nothing)
        with Gateway(jobs.answers) as gateway, _calling(gateway.standing_in(lm), program) as subject:
            asked = partial(_asked, subject, gateway, threads)
            if waiting:
                check_calls(subject, waiting[0], partial(asked, waiting[:1]))
            jobs.finish()
            for _ in range(MOST_ROUNDS):
                requests = asked(waiting)
                if not requests:
                    return sweep(subject, examples, metric, store=store, threads=threads, on_result=on_result)
                jobs.run(requests)
    raise ModelError(
        f"After {MOST_ROUNDS} rounds of jobs some calls of the program still have no answer: sweep it live instead."
    )


def _asked(
    program: Anytime, gateway: Gateway, threads: int, waiting: Sequence[Mapping[str, Any]]
) -> dict[str, BatchRequest]:
    """What examples still want to have answered, as far as can be known."""
    # Nobody is told of calls that only find out what to ask.
    with dspy.context(trace=None, callbacks=[], usage_tracker=None):
        for _ in finished(partial(_rehearse, program), waiting, threads):
            pass
    return gateway.take()


def _rehearse(program: Anytime, inputs: Mapping[str, Any]) -> None:
    run = MultiBudgetRun(program.program, (), inputs, program.state, named_predictors(program.program))
    try:
        run.rehearse()
    except ModelError:  # what stops one example would stop them all
        raise
    except Exception:  # the sweep proper meets it again, and makes it the example's error
        return


@contextmanager
def _calling(lm: dspy.LM, program: Anytime) -> Iterator[Anytime]:
    """Has a program's calls go to an LM; a predictor that has one of its own is copied."""
    subject = program
    if any(predictor.lm is not None for _, predictor in named_predictors(program.program)):
        subject = program.deepcopy()
        subject.program.set_lm(lm)
    with dspy.context(lm=lm):
        yield subject


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    lock = FileLock(folder.parent / f".{FOLDER}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        raise RunError(
            f"another process works on the batch jobs of {folder.parent}: let it finish, or end it"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _nothing(_: BatchJob) -> None:
    """What is called where nobody listens."""
