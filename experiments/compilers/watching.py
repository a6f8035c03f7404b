"""Which programs a compiler has scored so far, and so which one it would give if it were stopped now.

DSPy's optimisers keep their candidates in local variables, which are lost when they are interrupted. They run every
candidate through DSPy, though, and DSPy tells its callbacks.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, NamedTuple

import dspy
from dspy.utils.callback import BaseCallback

from anytime_dspy.anytime import Anytime
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.state import program_hash
from anytime_dspy.storage.jsonl import content_hash

__all__ = ["MiniBatchWatcher", "Scored", "ValidationWatcher", "Watcher"]


class Scored(NamedTuple):
    """A program and what the compiler measured of it, in [0, 1]."""

    score: float
    program: Anytime


class Watcher(BaseCallback):
    """Sees nothing: for compilers that measure no candidate, or that stop themselves.

    Attributes:
        measured: Scores on all of the examples that the compiler chooses by, by the program's hash.
    """

    def __init__(self) -> None:
        self.measured: dict[str, float] = {}

    def candidates(self) -> list[Scored]:
        """Returns what the compiler chooses from, in the order in which it was first run."""
        return []

    @property
    def best(self) -> Anytime | None:
        """The best program so far, the first one of equals; None before there is any."""
        best = max(self.candidates(), key=lambda one: one.score, default=None)
        return best.program if best else None


class ValidationWatcher(Watcher):
    """Sees each evaluation of a program on the whole validation set: it is these that the optimiser chooses by.

    Exact for BootstrapFewShotWithRandomSearch, MIPROv2 and GEPA: the first program with the highest score is what each
    of them returns. An evaluation that was interrupted is no score.

    Args:
        validation: The validation set.
    """

    def __init__(self, validation: Sequence[dspy.Example]) -> None:
        super().__init__()
        self._validation = _contents(validation)
        self._running: dict[str, Anytime] = {}
        self._candidates: list[Scored] = []

    def candidates(self) -> list[Scored]:
        """Returns each program that was evaluated."""
        return self._candidates

    def on_evaluate_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Notes which program is evaluated, unless it is on a mini-batch."""
        if _contents(inputs["devset"] or instance.devset) == self._validation:
            self._running[call_id] = inputs["program"]

    def on_evaluate_end(self, call_id: str, outputs: Any, exception: Exception | None = None) -> None:
        """Keeps a copy of the program: its optimiser may go on to change it."""
        program = self._running.pop(call_id, None)
        if program is not None and outputs is not None:
            score = float(outputs.score) / 100
            self._candidates.append(Scored(score, _copy(program)))
            self.measured.setdefault(program_hash(program), score)


@dataclass
class _Runs:
    """A program, held so that no other one gets its identity, and the scores of its runs."""

    program: Anytime
    scores: list[float] = field(default_factory=list)


class MiniBatchWatcher(Watcher):
    """Sees each program that was run on a whole mini-batch, for SIMBA, which measures on more only at its very end.

    Approximate, since mini-batches differ: SIMBA keeps the best program of each, and tells these apart by a run over
    all examples that an interrupted compile does not come to. Here the highest score on any mini-batch wins. The
    student is among them only where SIMBA failed to make anything else of it; else it is sampled, but not measured.

    Args:
        examples: All that SIMBA draws mini-batches from.
        metric: SIMBA's.
        batch: Examples of a mini-batch, at least 2: in its sampling SIMBA runs copies of a program on one example each.
    """

    def __init__(self, examples: Sequence[dspy.Example], metric: AnytimeIndex, batch: int) -> None:
        super().__init__()
        self._examples = {_asked(example.inputs().toDict()): example for example in examples}
        self._metric = metric
        self._batch = batch
        self._running: dict[str, tuple[Anytime, dspy.Example]] = {}
        self._runs: dict[int, _Runs] = {}
        self._lock = threading.Lock()

    def candidates(self) -> list[Scored]:
        """Returns each program that was run on one mini-batch, and on no more: those of its last run are copies."""
        with self._lock:
            ran = [runs for runs in self._runs.values() if len(runs.scores) == self._batch]
        return [Scored(fmean(runs.scores), runs.program) for runs in ran]

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Notes on which example a program is run."""
        if isinstance(instance, Anytime):
            with self._lock:
                self._running[call_id] = (instance, self._examples[_asked(inputs["kwargs"])])

    def on_module_end(self, call_id: str, outputs: Any, exception: Exception | None = None) -> None:
        """Scores the run as SIMBA does: one that failed is worth 0."""
        with self._lock:
            running = self._running.pop(call_id, None)
        if running is None or not (exception is None or isinstance(exception, Exception)):
            return
        program, example = running
        score = 0.0 if outputs is None else float(self._metric(example, outputs))
        with self._lock:
            runs = self._runs.setdefault(id(program), _Runs(program))
            runs.scores.append(score)
            if len(runs.scores) == len(self._examples):
                self.measured.setdefault(program_hash(program), fmean(runs.scores))


def _copy(program: Anytime) -> Anytime:
    copied: Anytime = program.deepcopy()
    copied.__dict__.pop("forward", None)  # while GEPA traces a program, another method stands in the place of its own
    return copied


def _asked(inputs: Mapping[str, Any]) -> str:
    return content_hash(dict(inputs))


def _contents(examples: Iterable[dspy.Example]) -> Counter[str]:
    """Example sets are told apart by what they hold: an optimiser may copy and shuffle them."""
    return Counter(content_hash(example.toDict()) for example in examples)
