"""LEAP: adds principles that the LM learns from its mistakes to the instructions; a baseline that needs labels."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import Any, Literal, get_args

import dspy
from dspy.teleprompt import Teleprompter

from anytime_dspy.answers import answer_text
from anytime_dspy.anytime import Anytime
from anytime_dspy.calls.call_cache import keeping_calls
from anytime_dspy.calls.formats import answer_fields
from anytime_dspy.checkpoint import Call, Usage
from anytime_dspy.errors import AnytimeError, DataError
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.optimizers.checks import check_compile, check_options
from anytime_dspy.optimizers.prompts.ask_lm import Proposals
from anytime_dspy.optimizers.prompts.principles import Mistake, condensed, learned_from, principles_block
from anytime_dspy.optimizers.prompts.render import demonstration
from anytime_dspy.optimizers.traces.chat_prompt import first_call
from anytime_dspy.optimizers.traces.sampling import CALLS, OnTrace, Sampling, sample_traces
from anytime_dspy.optimizers.traces.styles import PLAIN
from anytime_dspy.optimizers.traces.trace import SampledTrace
from anytime_dspy.optimizers.traces.trace_file import TraceLog
from anytime_dspy.runtime.predictors import own_lm
from anytime_dspy.storage.jsonl import write_json
from anytime_dspy.storage.typed import read_as

__all__ = ["LEAP", "Level", "LeapReport"]

logger = logging.getLogger(__name__)

Level = Literal["low", "high"]

MISTAKES_OF_AN_EXAMPLE = 3
"""The number of different wrong answers of an example, the most common ones, that the LM learns from; one call each."""


@dataclass(frozen=True)
class LeapReport:
    """What a compile did, in the attribute `compile_report` of the compiled program.

    Attributes:
        traces: The number of sampled answers.
        wrong: The number of wrong answers.
        mistakes: The number of different mistakes that the LM learned from.
        low: The principles from these mistakes.
        shown: The principles in the compiled program: the same ones, or condensed ones.
        demonstrations: The number of its demonstrations.
        synthesis: The cost of sampling.
        learning: The cost of writing principles.
    """

    traces: int
    wrong: int
    mistakes: int
    low: tuple[str, ...]
    shown: tuple[str, ...]
    demonstrations: int
    synthesis: Usage
    learning: Usage

    @property
    def usage(self) -> Usage:
        """The cost of the whole compile."""
        return self.synthesis + self.learning

    @classmethod
    def read(cls, path: str | Path) -> LeapReport:
        """Reads report.json of a compile's folder.

        Raises:
            RunError: The file cannot be read, or holds something else.
        """
        return read_as(cls, path)


@dataclass(frozen=True, kw_only=True)
class LEAP(Teleprompter):
    """Compiles an `Anytime` program with principles that its LM learns from its mistakes (Zhang et al. 2024).

    The student answers each training example several times, without demonstrations. The LM sees its wrong answers
    beside the right ones, and writes what to learn from each (arXiv 2402.05403). The principles are added to the
    instructions, and a few examples become demonstrations. Budgets play no role. The optimiser itself has no state.

    Attributes:
        metric: The metric; an answer is wrong if its `quality` is below the maximum of the scale.
        samples: Answers per training example.
        temperature: The sampling temperature, above 0.
        level: "low" shows every principle; "high" condenses them to at most five.
        shots: The number of demonstrations for a student that has none. Examples that it answered right come first,
            with that reasoning, then examples with their labels only.
        threads: The number of concurrent runs and requests.
        seed: The seed of the samples and of the choice of demonstrations.
        log_dir: A folder for traces.jsonl, calls.jsonl and report.json; an interrupted compile resumes from it.

    Raises:
        AnytimeError: An option is invalid.

    Example:
        >>> leap = LEAP(AnytimeIndex(lambda example, prediction: example.answer == prediction.answer), level="low")
        >>> leap.samples
        15
    """

    metric: AnytimeIndex = field(kw_only=False)
    samples: int = 15
    temperature: float = 0.9
    level: Level = "high"
    shots: int = 3
    threads: int = 1
    seed: int = 0
    log_dir: str | Path | None = None

    def __post_init__(self) -> None:
        check_options(self, samples=1, shots=0, threads=1)
        if self.level not in get_args(Level):
            raise AnytimeError(f'level must be "low" or "high", not {self.level!r}')

    def compile(
        self,
        student: Anytime,
        *,
        trainset: Sequence[dspy.Example],
        teacher: dspy.Module | None = None,
        valset: Sequence[dspy.Example] | None = None,
        on_trace: OnTrace | None = None,
    ) -> Anytime:
        """Returns a new program with the principles in its instructions; the student is not changed.

        Args:
            student: The program with its budgets; the LM is that of the surrounding `dspy.context`, or its own.
            trainset: Labelled examples; the labels have the names of the program's output fields.
            teacher: Not supported: the student learns from its own mistakes.
            valset: Not used.
            on_trace: Called with each of `len(trainset) * samples` answers when it is finished, for a progress bar.

        Returns:
            The compiled program, with a `LeapReport` as its `compile_report`.

        Raises:
            ProgramError: The student is not an `Anytime`, or a teacher was given.
            DataError: There are no training examples, or one has no inputs or no labels.
            ModelError: There is no LM to run the student on.
            AnytimeError: Every run failed, or every request about a mistake.
            RunError: `log_dir` belongs to another compile, or cannot be written.
        """
        check_compile("LEAP", student, trainset, teacher)
        labels = [_labels(student, example, place) for place, example in enumerate(trainset)]
        folder = None if self.log_dir is None else Path(self.log_dir)
        with dspy.context(lm=own_lm(student)), keeping_calls(folder / CALLS) if folder else nullcontext():
            traces = self._sampled(student, trainset, folder, on_trace)
            answered = [trace for trace in traces if trace.checkpoints[-1].answered]
            verdicts = [self._is_right(trace, trainset[trace.example_index]) for trace in answered]
            wrong = [trace for trace, is_right in zip(answered, verdicts, strict=True) if not is_right]
            mistakes = list(_mistakes(wrong, trainset, labels))
            low = learned_from(mistakes, self.threads)
            high = condensed(low.kept) if self.level == "high" and low.kept else Proposals[str]()
        shown = high.kept or low.kept
        if not shown:
            logger.warning("LEAP learned nothing: %d of %d answers were wrong", len(wrong), len(traces))
        compiled = _told(student, shown)
        if not any(predictor.demos for predictor in student.predictors()):
            _show(compiled, self._shots(trainset, labels, compress(answered, verdicts)))
        report = LeapReport(
            traces=len(traces),
            wrong=len(wrong),
            mistakes=len(mistakes),
            low=low.kept,
            shown=shown,
            demonstrations=max(len(predictor.demos) for predictor in compiled.predictors()),
            synthesis=sum((trace.usage for trace in traces), Usage()),
            learning=low.usage + high.usage,
        )
        compiled.compile_report = report
        if folder:
            write_json(folder / "report.json", report)
        return compiled

    def _sampled(
        self, student: Anytime, trainset: Sequence[dspy.Example], folder: Path | None, on_trace: OnTrace | None
    ) -> list[SampledTrace]:
        """Samples answers at the largest budget, without demonstrations."""
        zero_shot = Anytime(
            student.deepcopy().program,
            student.budgets[-1:],
            answer_tokens=student.answer_tokens,
            mode=student.state.mode,
        )
        for predictor in zero_shot.predictors():
            predictor.demos = []
        sampling = Sampling(
            samples=self.samples, temperature=self.temperature, seed=self.seed, styles=(PLAIN,), threads=self.threads
        )
        log = TraceLog(folder / "traces.jsonl") if folder else None
        return sample_traces(zero_shot, trainset, sampling, log=log, on_trace=on_trace)

    def _shots(
        self, trainset: Sequence[dspy.Example], labels: Sequence[Mapping[str, Any]], right: Iterable[SampledTrace]
    ) -> list[_Shot]:
        # The last run of an example replaces the others: a complete one, if there is any.
        ordered = sorted(right, key=lambda trace: not trace.checkpoints[-1].cut)
        runs = {trace.example_index: trace.checkpoints[-1].calls for trace in ordered}
        drawn = random.Random(self.seed).sample(range(len(trainset)), len(trainset))
        drawn.sort(key=lambda place: place not in runs)
        return [
            _Shot({**trainset[place].inputs().toDict(), **labels[place]}, runs.get(place, ()))
            for place in drawn[: self.shots]
        ]

    def _is_right(self, trace: SampledTrace, example: dspy.Example) -> bool:
        with self.metric.naming(example):
            return self.metric.curve(example, trace).qualities[-1] >= self.metric.q_max


def _labels(student: Anytime, example: dspy.Example, place: int) -> dict[str, Any]:
    """The right answer: the labels of an example that are output fields of the program."""
    wanted = dict.fromkeys(name for predictor in student.predictors() for name in answer_fields(predictor.signature))
    known = example.labels()
    labels = {name: known[name] for name in wanted if known.get(name) is not None}
    if not labels:
        raise DataError(
            f"LEAP learns from right answers, and training example {place} has no label named {' or '.join(wanted)}: "
            "give labelled examples, or use PDP, which needs none"
        )
    return labels


def _mistakes(
    wrong: Iterable[SampledTrace], trainset: Sequence[dspy.Example], labels: Sequence[Mapping[str, Any]]
) -> Iterator[Mistake]:
    """The most common wrong answers to each example, one trace each."""
    of_example: dict[int, dict[str | None, list[SampledTrace]]] = {}
    for trace in wrong:
        answers = of_example.setdefault(trace.example_index, {})
        answers.setdefault(answer_text(trace.checkpoints[-1].prediction), []).append(trace)
    for place, answers in sorted(of_example.items()):
        common = sorted(answers.values(), key=len, reverse=True)[:MISTAKES_OF_AN_EXAMPLE]
        for same in common:
            yield Mistake(
                task=_as_text(trainset[place].inputs().toDict()),
                attempt=_as_text(dict(same[0].checkpoints[-1].prediction.items())),
                right_answer=_as_text(labels[place]),
            )


def _told(student: Anytime, principles: Sequence[str]) -> Anytime:
    program: Anytime = student.deepcopy()
    for predictor in program.predictors() if principles else ():
        instructions = f"{predictor.signature.instructions}\n\n{principles_block(principles)}"
        predictor.signature = predictor.signature.with_instructions(instructions)
    return program


@dataclass(frozen=True)
class _Shot:
    """An example for a demonstration: its inputs and labels, and the calls of a run with the right answer, if any."""

    values: Mapping[str, Any]
    calls: Sequence[Call]

    def as_demo(self, name: str, signature: type[dspy.Signature]) -> dict[str, Any] | None:
        """The demonstration for a predictor; None if its answer is not known."""
        call = first_call(self.calls, name)
        if call is not None:
            return demonstration(signature, call)
        needed = {*signature.input_fields, *answer_fields(signature)}
        if not needed <= self.values.keys():
            return None
        return {field: self.values[field] for field in signature.fields if field in self.values}


def _show(program: Anytime, shots: Sequence[_Shot]) -> None:
    for name, predictor in program.named_predictors():
        demos = (shot.as_demo(name, predictor.signature) for shot in shots)
        predictor.demos = [demo for demo in demos if demo is not None]


def _as_text(values: Mapping[str, Any]) -> str:
    if len(values) == 1:
        return str(next(iter(values.values())))
    return "\n".join(f"{name}: {value}" for name, value in values.items())
