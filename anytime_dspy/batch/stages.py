"""Sweeps in two batch jobs, all traces and then all forced answers; a normal sweep then reads their replies."""

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
from anytime_dspy.parallel import map_unordered
from anytime_dspy.runtime.multi_budget import MultiBudgetRun
from anytime_dspy.runtime.predictors import named_predictors
from anytime_dspy.storage.results import ExampleResult
from anytime_dspy.storage.run_folder import RunStore

__all__ = ["sweep_batch"]

FOLDER = "batch"

MOST_ROUNDS = 12
"""Usually two; one more for each option that the model rejects and for each retry."""


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
    """Sweeps by jobs of the provider's batch API, at half the price; each job may take a day.

    The program has one predictor, whose LM is a `dspy.LM("openai/...")` of OpenAI or of another server with the same
    files and batches API. The first job generates all traces, the second all forced answers. Requests that fail and may
    be retried are put into another job, up to three jobs in all. Jobs, requests and replies are stored in `batch/` in
    the run folder, so that a killed sweep resumes with the jobs that it submitted. The results are those of `sweep`,
    except that their seconds are meaningless and their dollars are the full price.

    Args:
        program: The program; its LM is that of its predictor, or of the surrounding `dspy.context`.
        examples: The examples; one without an `id` is identified by its position.
        metric: Scores the checkpoints.
        store: The run folder; examples that it has already are not run again.
        threads: Examples that are prepared and scored at the same time.
        on_result: Called in this thread with each new result.
        on_job: Called in this thread with a job when it is submitted and whenever its status changes.
        poll_seconds: The longest time between two requests for a job's status.

    Returns:
        One result per example, or per example of the shard, in the order of `examples`.

    Raises:
        DataError: There are no examples, two have the same id, or the folder is a shard of other examples.
        ProgramError: The program has several predictors, uses tools, calls its predictor several times, streams, stops
            early, or runs under another budget.
        ModelError: The LM has no batch API, or its provider rejects a job or cannot be reached.
        RunError: The folder cannot be used, or is used by another process.
        AnytimeError: Every example failed; the message is that of the first one.
    """
    named = named_examples(examples, store)
    check_program(program)
    lm = batch_lm(program)
    done = store.done()
    waiting = [{**example.inputs()} for name, example in named.items() if name not in done]
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
        f"after {MOST_ROUNDS} rounds of jobs some calls of the program still have no answer: sweep it live instead"
    )


def _asked(
    program: Anytime, gateway: Gateway, threads: int, waiting: Sequence[Mapping[str, Any]]
) -> dict[str, BatchRequest]:
    """Returns the requests of these examples that have no reply and can be made already."""
    # These calls only collect requests: they are no part of any trace, log or count.
    with dspy.context(trace=None, callbacks=[], usage_tracker=None):
        for _ in map_unordered(partial(_rehearse, program), waiting, threads):
            pass
    return gateway.take()


def _rehearse(program: Anytime, inputs: Mapping[str, Any]) -> None:
    run = MultiBudgetRun(program.program, (), inputs, program.state, named_predictors(program.program))
    try:
        run.rehearse()
    except ModelError:  # it would stop every example
        raise
    except Exception:  # the sweep meets it again, and stores it as the example's error
        return


@contextmanager
def _calling(lm: dspy.LM, program: Anytime) -> Iterator[Anytime]:
    """Yields a program whose calls go to an LM: a copy if its predictor has an LM of its own."""
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
    """Does nothing."""
