"""Measures programs on a task's examples, each in a run folder that a stopped measurement resumes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.measure import example_id, sweep
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.profiling import phase
from anytime_dspy.state import program_hash
from anytime_dspy.statistics.early_stopping import EarlyStopping, early_stopping
from anytime_dspy.statistics.summary import Summary, summarise
from anytime_dspy.stopping import Converged
from anytime_dspy.storage.results import ExampleResult, without_texts
from anytime_dspy.storage.run_folder import RunStore

if TYPE_CHECKING:
    from anytime_dspy.programs.task import Task
    from anytime_dspy.storage.shards import Shard

__all__ = ["MeasuredProgram", "Measurement", "ProgressBar", "Swept", "fingerprint"]

ProgressBar = Callable[[str, int], AbstractContextManager[Callable[[ExampleResult], None]]]
"""Shows a sweep's progress: takes its label and the number of examples left, yields what is called with each result."""


@contextmanager
def _no_bar(label: str, left: int) -> Iterator[Callable[[ExampleResult], None]]:
    yield lambda result: None


@dataclass(frozen=True)
class Measurement:
    """What is held fixed while programs are measured.

    Attributes:
        task: The task.
        examples: What programs are run on.
        lm: The LM that runs them.
        threads: Examples run at the same time.
        seed: Of the intervals.
        run: Runs a sweep: `sweep`, also with an executor, or `sweep_batch`.
        bar: Shows the progress of each sweep; nothing by default.
    """

    task: Task
    examples: Sequence[dspy.Example]
    lm: dspy.LM
    threads: int
    seed: int
    run: Callable[..., list[ExampleResult]] = sweep
    bar: ProgressBar = _no_bar

    def of(self, label: str, program: Anytime, folder: Path) -> MeasuredProgram:
        """Sweeps a program, or resumes its sweep in the folder, and sums it up.

        Raises:
            RunError: The folder holds another run, or cannot be written.
        """
        return self.summed(label, self.swept(label, program, folder))

    def swept(self, label: str, program: Anytime, folder: Path, shard: Shard | None = None) -> Swept:
        """Sweeps a program on all examples or on those of a shard, or resumes its sweep in the folder.

        Raises:
            RunError: The folder holds another run, or cannot be written.
        """
        ids = [example_id(example, place) for place, example in enumerate(self.examples)]
        store = RunStore.open(folder, fingerprint(self.task, program, self.lm), shard.of(ids) if shard else None)
        left = {name for name in ids if shard is None or shard.takes(name)} - store.done()
        run = partial(self.run, program, self.examples, AnytimeIndex(self.task.quality))
        if self.task.private:
            run = partial(run, redact=partial(without_texts, answer_key=self.task.answer_key))
        with phase(f"sweeping {label}"), self.bar(label, len(left)) as on_result, dspy.context(lm=self.lm):
            return Swept(store, run(store=store, threads=self.threads, on_result=on_result))

    def summed(self, label: str, swept: Swept) -> MeasuredProgram:
        """Sums up a sweep, and writes the summary into its folder.

        Raises:
            RunError: The folder cannot be written.
        """
        summary = summarise(swept.results, seed=self.seed)
        stopping = early_stopping(swept.results, Converged(), seed=self.seed)
        swept.store.write_summary({**asdict(summary), "stopping": asdict(stopping) if stopping else None})
        return MeasuredProgram(label, summary, swept.results, stopping)


@dataclass(frozen=True)
class Swept:
    """A sweep's folder, and its results."""

    store: RunStore
    results: list[ExampleResult] = field(repr=False)


@dataclass(frozen=True)
class MeasuredProgram:
    """A program's sweep, its summary, and what stopping at equal answers would have saved."""

    label: str
    summary: Summary
    results: list[ExampleResult] = field(repr=False)
    stopping: EarlyStopping | None = None


def fingerprint(task: Task, program: Anytime, lm: dspy.LM, **more: Any) -> dict[str, Any]:
    """Returns all that decides a run's results, except the number of examples: two runs with the same are one run."""
    return {
        "task": task.name,
        "task version": task.version,
        "scorer": str(getattr(task.quality, "__qualname__", type(task.quality).__qualname__)),
        "program": program_hash(program),
        "model": lm.model,
        "temperature": lm.kwargs.get("temperature"),  # as asked for: what a model refuses of it shows later
        **({"reasoning effort": effort} if (effort := lm.kwargs.get("reasoning_effort")) else {}),
        "budgets": list(program.budgets),
        "answer tokens": program.answer_tokens,
        **({"stop": asdict(program.state.stop)} if program.state.stop else {}),
        **more,
    }
