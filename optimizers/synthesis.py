"""Sampling traces: the student runs on its own training examples, several times and in several styles."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.budgeting import budget
from anytime_dspy.checkpoint import Checkpoint, Usage
from anytime_dspy.errors import AnytimeError
from anytime_dspy.optimizers.parallel import finished
from anytime_dspy.optimizers.styles import STYLES, Style

__all__ = ["OnTrace", "SampledTrace", "Sampling", "TraceGroup", "group_traces", "sample_traces"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SampledTrace:
    """One run of the student on one training example, cut and answered at every budget.

    Attributes:
        example_index: The example's place in the training set.
        style: The name of the style that it was sampled under.
        sample: Which of the example's samples it is, from 0.
        seed: What told this sample's calls apart: their rollout id, and their seed where the engine takes one.
        checkpoints: One a budget, in ascending order.
        usage: What it really cost: the run, and the answers forced at the budgets that it did not end within.
    """

    example_index: int
    style: str
    sample: int
    seed: int
    checkpoints: tuple[Checkpoint, ...]
    usage: Usage


@dataclass(frozen=True)
class TraceGroup:
    """The traces of one example: what a judge compares with each other.

    Attributes:
        example_index: The example's place in the training set.
        instructions: What the student is told to do.
        inputs: The example's input fields.
        traces: At least one, in the order of their samples.
    """

    example_index: int
    instructions: str
    inputs: Mapping[str, Any]
    traces: tuple[SampledTrace, ...]


@dataclass(frozen=True)
class Sampling:
    """How traces are sampled.

    Attributes:
        _: What follows is given by keyword.
        samples: Traces of each example, spread evenly over the styles.
        temperature: Above 0, for reasoning and answers alike.
        seed: The same seed gives the same traces where the LM repeats itself, and fresh ones to a caching LM else.
        styles: What to sample under, in turn.
        threads: Runs at the same time.
    """

    _: KW_ONLY
    samples: int = 6
    temperature: float = 0.9
    seed: int = 0
    styles: tuple[Style, ...] = STYLES
    threads: int = 1


OnTrace = Callable[[SampledTrace], None]
"""Called in the caller's thread with each trace as it finishes."""


def sample_traces(
    student: Anytime, trainset: Sequence[dspy.Example], sampling: Sampling, *, on_trace: OnTrace | None = None
) -> list[SampledTrace]:
    """Runs the student several times on each example.

    Every predictor of a sample's run is called with that sample's temperature and rollout id, so that DSPy's cache
    keeps the samples apart and a repeated compile is free. Engines that say so by `supported_params`, as the embedded
    one does, are also given a seed; providers are not, since several refuse it.

    Args:
        student: The program; it is copied, never changed.
        trainset: Examples with their inputs set; labels are not looked at.
        sampling: How many, how hot, in which styles.
        on_trace: Called with each trace as it finishes.

    Returns:
        Traces ordered by example, then by sample. Runs that failed are logged and left out.

    Raises:
        AnytimeError: Every run failed, or the program cannot be run under a budget at all.
    """
    variants = [_Variant.of(student, sampling, sample) for sample in range(sampling.samples)]
    # All samples of an example in a row: an engine's prefix cache then still holds its prompt.
    runs = [(place, example, variant) for place, example in enumerate(trainset) for variant in variants]
    traces: list[tuple[int, SampledTrace]] = []
    failures: list[Exception] = []
    for order, outcome in finished(_run, runs, sampling.threads):
        if isinstance(outcome, Exception):
            failures.append(outcome)
            logger.warning("A run on training example %d failed: %s", runs[order][0], outcome)
            continue
        traces.append((order, outcome))
        if on_trace:
            on_trace(outcome)
    if not traces:
        reason = f"{type(failures[0]).__name__}: {failures[0]}" if failures else "there was nothing to run"
        raise AnytimeError(
            f"none of the {len(runs)} runs of the student gave a trace ({reason}): mend the LM or program"
        )
    return [trace for _, trace in sorted(traces, key=lambda ordered: ordered[0])]


def group_traces(
    student: Anytime, trainset: Sequence[dspy.Example], traces: Sequence[SampledTrace]
) -> list[TraceGroup]:
    """Puts the traces of each example together; an example without traces has no group.

    Args:
        student: The program that was sampled, for its instructions.
        trainset: The examples.
        traces: As `sample_traces` returned them.
    """
    instructions = "\n\n".join(predictor.signature.instructions for predictor in student.predictors())
    found: dict[int, list[SampledTrace]] = {}
    for trace in traces:
        found.setdefault(trace.example_index, []).append(trace)
    return [
        TraceGroup(index, instructions, trainset[index].inputs().toDict(), tuple(group))
        for index, group in sorted(found.items())
    ]


@dataclass(frozen=True)
class _Variant:
    """The student as one sample of every example runs it."""

    program: Anytime
    style: str
    sample: int
    seed: int

    @classmethod
    def of(cls, student: Anytime, sampling: Sampling, sample: int) -> _Variant:
        style = sampling.styles[sample % len(sampling.styles)]
        seed = random.Random(f"{sampling.seed}/{sample}").randrange(2**31)
        program = student.deepcopy()
        for predictor in program.predictors():
            rendered = style.render(predictor.signature.instructions, student.budgets)
            predictor.signature = predictor.signature.with_instructions(rendered)
            takes_seed = "seed" in getattr(
                getattr(predictor.lm or dspy.settings.lm, "engine", None), "supported_params", ()
            )
            # In the predictor's own configuration these win over whatever its LM was made with.
            predictor.config = {
                **predictor.config,
                "temperature": sampling.temperature,
                "rollout_id": seed,
                **({"seed": seed} if takes_seed else {}),
            }
        return cls(program, style.name, sample, seed)


def _run(run: tuple[int, dspy.Example, _Variant]) -> SampledTrace | Exception:
    place, example, variant = run
    # An outer budget that no run can exhaust: it adds up what was really spent, replayed calls left out.
    with budget(sum(variant.program.budgets), answer_tokens=variant.program.answer_tokens) as spent:
        try:
            prediction = variant.program(**example.inputs())
        except AnytimeError:
            raise
        except Exception as error:  # an LM's failure must not lose the traces that are paid for
            return error
    return SampledTrace(place, variant.style, variant.sample, variant.seed, prediction.checkpoints, spent.usage)
