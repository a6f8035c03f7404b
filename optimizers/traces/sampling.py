"""Sampling traces: the student runs on its own training examples, several times and in several styles."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.calls.call_cache import keeping_calls
from anytime_dspy.errors import AnytimeError
from anytime_dspy.optimizers.traces.seeding import seed_of, with_sampling
from anytime_dspy.optimizers.traces.styles import PLAIN, STYLES, Style
from anytime_dspy.optimizers.traces.trace import SampledTrace
from anytime_dspy.optimizers.traces.trace_file import TraceLog
from anytime_dspy.parallel import map_unordered
from anytime_dspy.runtime.context import budget
from anytime_dspy.runtime.predictors import lm_of
from anytime_dspy.state import program_hash
from anytime_dspy.storage.jsonl import content_hash

__all__ = ["OnTrace", "Sampling", "sample_traces"]

logger = logging.getLogger(__name__)

CALLS = "calls.jsonl"
"""The file of LM calls beside the file of traces."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How traces are sampled.

    Attributes:
        samples: Traces per example, spread evenly over the styles.
        temperature: The sampling temperature, above 0; forced answers are always greedy.
        seed: With a deterministic LM the same seed reproduces the traces; with a caching LM a new seed gives
            fresh ones.
        round: The number of the sampling round, from 0; each has its own seeds.
        styles: The instruction styles, used in turn.
        threads: The number of concurrent runs.
        as_it_is: Whether the first sample of each example runs the program unchanged, at its own temperature and
            without a style. A race needs that run too, and then finds it in the stored calls.
    """

    samples: int = 6
    temperature: float = 0.9
    seed: int = 0
    round: int = 0
    styles: tuple[Style, ...] = STYLES
    threads: int = 1
    as_it_is: bool = False


OnTrace = Callable[[SampledTrace], None]
"""Called in the caller's thread with each trace when it is finished."""


def sample_traces(
    student: Anytime,
    trainset: Sequence[dspy.Example],
    sampling: Sampling,
    *,
    places: Sequence[int] | None = None,
    log: TraceLog | None = None,
    on_trace: OnTrace | None = None,
) -> list[SampledTrace]:
    """Runs the student several times on each example.

    Each sample has its own rollout id (see `with_sampling`), so DSPy's cache keeps samples apart, and a repeated
    compile is free.

    Args:
        student: The program; each sample uses a copy, except the first one with `as_it_is`.
        trainset: Examples with their inputs set; labels are not used.
        sampling: The number of samples, their temperature and styles.
        places: The indices of the examples to run; by default all.
        log: A file that stores each finished trace; traces in it are not sampled again. The LM calls are stored beside
            it, in calls.jsonl, unless an enclosing `keeping_calls` stores them.
        on_trace: Called with each trace when it is finished, and with each trace of the file.

    Returns:
        Traces ordered by example, then by sample. Failed runs are logged and left out.

    Raises:
        AnytimeError: Every run failed, or the program cannot run under a budget.
        RunError: The file is of another sampling, is damaged, or cannot be written.
    """
    places = range(len(trainset)) if places is None else places
    known = log.open(student, _fingerprint(student, [trainset[place] for place in places], sampling)) if log else []
    traces = {(trace.example_index, trace.sample): trace for trace in known}
    for trace in traces.values():
        if on_trace:
            on_trace(trace)
    variants = [_Variant.of(student, sampling, sample) for sample in range(sampling.samples)]
    # All samples of an example in a row, while its prompt is in the engine's prefix cache.
    runs = [
        (place, trainset[place], variant)
        for place in places
        for variant in variants
        if (place, variant.sample) not in traces
    ]
    failures: list[Exception] = []
    # Calls are stored too, so that a trace that was interrupted repeats none of its calls.
    with keeping_calls(log.path.with_name(CALLS)) if log else nullcontext():
        for order, outcome in map_unordered(_run, runs, sampling.threads):
            if isinstance(outcome, Exception):
                failures.append(outcome)
                logger.warning("A run on training example %d failed: %s", runs[order][0], outcome)
                continue
            traces[outcome.example_index, outcome.sample] = outcome
            if log:
                log.append(outcome)
            if on_trace:
                on_trace(outcome)
    if not traces:
        reason = f"{type(failures[0]).__name__}: {failures[0]}" if failures else "there was nothing to run"
        raise AnytimeError(
            f"none of the {len(runs)} runs of the student gave a trace ({reason}): fix the LM or the program"
        )
    return [traces[key] for key in sorted(traces)]


def _fingerprint(student: Anytime, trainset: Sequence[dspy.Example], sampling: Sampling) -> dict[str, Any]:
    predictors = student.predictors()
    return {
        "student": program_hash(student),
        "lm": [str(getattr(lm_of(predictor), "model", None)) for predictor in predictors],
        "budgets": student.state.dump_state(),
        "samples": sampling.samples,
        "temperature": sampling.temperature,
        "seed": sampling.seed,
        "round": sampling.round,
        "as it is": sampling.as_it_is,
        "styles": {
            style.name: content_hash([style.render(p.signature.instructions, student.budgets) for p in predictors])
            for style in sampling.styles
        },
        "trainset": content_hash([example.inputs().toDict() for example in trainset]),
    }


@dataclass(frozen=True)
class _Variant:
    """The program of one sample, which runs on every example."""

    program: Anytime
    style: str
    sample: int
    seed: int

    @classmethod
    def of(cls, student: Anytime, sampling: Sampling, sample: int) -> _Variant:
        seed = seed_of(sampling.seed, sampling.round, sample)
        if sampling.as_it_is and sample == 0:
            return cls(student, PLAIN.name, sample, seed)
        style = sampling.styles[sample % len(sampling.styles)]
        program = with_sampling(student, sampling.temperature, seed)
        for predictor in program.predictors():
            rendered = style.render(predictor.signature.instructions, student.budgets)
            predictor.signature = predictor.signature.with_instructions(rendered)
        return cls(program, style.name, sample, seed)


def _run(run: tuple[int, dspy.Example, _Variant]) -> SampledTrace | Exception:
    place, example, variant = run
    # An outer budget that no run can exhaust counts what was really spent, without replayed calls.
    with budget(sum(variant.program.budgets), answer_tokens=variant.program.answer_tokens) as spent:
        try:
            prediction = variant.program(**example.inputs())
        except AnytimeError:
            raise
        except Exception as error:  # an LM error must not lose the traces that are already paid for
            return error
    return SampledTrace(place, variant.style, variant.sample, variant.seed, prediction.checkpoints, spent.usage)
