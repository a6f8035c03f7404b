"""Measuring programs on a task: what `sweep`, `compile` and `demo` do and show alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dspy
from rich.console import Console

from anytime_dspy.anytime import Anytime
from anytime_dspy.cli.options import progress
from anytime_dspy.cli.progress import show_job
from anytime_dspy.errors import AnytimeError
from anytime_dspy.measure import example_id, program_hash, sweep
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.profiling import phase
from anytime_dspy.report.plots import Series, plot_curves
from anytime_dspy.report.tables import curve_table, difference_lines, markdown_table, summary_table
from anytime_dspy.statistics.early_stopping import EarlyStopping, early_stopping
from anytime_dspy.statistics.paired import Difference
from anytime_dspy.statistics.summary import Summary, index_difference, summarise
from anytime_dspy.stopping import Converged
from anytime_dspy.storage.jsonl import json_line, write_json, write_text
from anytime_dspy.storage.results import ExampleResult, without_texts
from anytime_dspy.storage.run_folder import RunStore

if TYPE_CHECKING:
    from anytime_dspy.executors import Executor
    from anytime_dspy.programs.task import Task
    from anytime_dspy.storage.shards import Shard

__all__ = ["MeasuredProgram", "Measurement", "Swept", "compare", "fingerprint", "show"]


@dataclass(frozen=True)
class Measurement:
    """What is held fixed while programs are measured.

    Attributes:
        task: The task.
        examples: What programs are run on.
        lm: The LM that runs them.
        threads: Examples run at the same time.
        seed: Of the intervals.
        executor: Where examples are run; in threads of this process by default.
        batch: Whether the provider's batch API runs them; there is no `executor` then.
    """

    task: Task
    examples: Sequence[dspy.Example]
    lm: dspy.LM
    threads: int
    seed: int
    executor: Executor | None = None
    batch: bool = False

    def of(self, label: str, program: Anytime, folder: Path) -> MeasuredProgram:
        """Sweeps a program, or goes on with a sweep of it that was stopped.

        Raises:
            RunError: The folder holds another run, or cannot be written.
        """
        return self.summed(label, self.swept(label, program, folder))

    def swept(self, label: str, program: Anytime, folder: Path, shard: Shard | None = None) -> Swept:
        """Sweeps a program, or a shard's part of the examples, or goes on with a sweep of it that was stopped.

        Raises:
            RunError: The folder holds another run, or cannot be written.
        """
        ids = [example_id(example, place) for place, example in enumerate(self.examples)]
        store = RunStore.open(folder, fingerprint(self.task, program, self.lm), shard.of(ids) if shard else None)
        left = {name for name in ids if shard is None or shard.takes(name)} - store.done()
        metric = AnytimeIndex(self.task.quality)
        sweeping = progress(f"Sweeping {label}", len(left))
        with phase(f"sweeping {label}"), sweeping as advance, dspy.context(lm=self.lm):
            results = self._sweep(
                program, self.examples, metric, store=store, threads=self.threads, on_result=lambda _: advance()
            )
        return Swept(store, results)

    def summed(self, label: str, swept: Swept) -> MeasuredProgram:
        """Sums up a sweep, and keeps that in its folder.

        Raises:
            RunError: The folder cannot be written.
        """
        summary = summarise(swept.results, seed=self.seed)
        stopping = early_stopping(swept.results, Converged(), seed=self.seed)
        swept.store.write_summary({**asdict(summary), "stopping": asdict(stopping) if stopping else None})
        return MeasuredProgram(label, summary, swept.results, stopping)

    @property
    def _sweep(self) -> Callable[..., list[ExampleResult]]:
        if not self.batch:
            redact = partial(without_texts, answer_key=self.task.answer_key) if self.task.private else None
            return partial(sweep, executor=self.executor, redact=redact)
        from anytime_dspy.batch import sweep_batch

        return partial(sweep_batch, on_job=show_job)


@dataclass(frozen=True)
class Swept:
    """A sweep's folder, and what it holds of the examples."""

    store: RunStore
    results: list[ExampleResult] = field(repr=False)


@dataclass(frozen=True)
class MeasuredProgram:
    """One program's sweep, what it comes to, and what stopping at equal answers would have saved of it."""

    label: str
    summary: Summary
    results: list[ExampleResult] = field(repr=False)
    stopping: EarlyStopping | None = None


def fingerprint(task: Task, program: Anytime, lm: dspy.LM, **more: Any) -> dict[str, Any]:
    """Returns what makes two runs the same run: all that decides their results, the number of examples left out."""
    return {
        "task": task.name,
        "task version": task.version,
        "scorer": scorer_name(task.quality),
        "program": program_hash(program),
        "model": lm.model,
        "temperature": lm.kwargs.get("temperature"),  # as asked for: what a model refuses of it shows later
        **({"reasoning effort": effort} if (effort := lm.kwargs.get("reasoning_effort")) else {}),
        "budgets": list(program.budgets),
        "answer tokens": program.answer_tokens,
        **({"stop": asdict(program.state.stop)} if program.state.stop else {}),
        **more,
    }


def scorer_name(quality: Any) -> str:
    """Returns what a quality function is called, so that runs scored by unlike ones are not compared."""
    return str(getattr(quality, "__qualname__", type(quality).__qualname__))


def compare(before: MeasuredProgram, after: MeasuredProgram, seed: int) -> list[tuple[str, Difference]]:
    """Returns how much the second program gains over the first, in both readings of the index, paired by example."""
    readings = (("Anytime Index (best-so-far)", True), ("Anytime Index (committed)", False))
    return [
        (
            f"{after.label} against {before.label}, {name}",
            index_difference(before.results, after.results, best_so_far=best, seed=seed),
        )
        for name, best in readings
    ]


def show(
    measured: Sequence[MeasuredProgram],
    differences: Sequence[tuple[str, Difference]],
    folder: Path,
    *,
    title: str,
    as_json: bool,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Writes curve.png, measured.json and table.md into the folder, and prints the tables, or the report as JSON."""
    rows = [(one.label, one.summary) for one in measured]
    report = {
        "title": title,
        "programs": {
            label: {**asdict(summary), "final": summary.final, "average": summary.average} for label, summary in rows
        },
        "stopping": {one.label: asdict(one.stopping) for one in measured if one.stopping},
        "differences": {label: asdict(difference) for label, difference in differences},
        **(more or {}),
    }
    write_json(folder / "measured.json", report)
    lines = [*difference_lines(differences), *(f"{one.label}: {one.stopping}" for one in measured if one.stopping)]
    write_text(
        folder / "table.md",
        "\n".join([f"## {title}", "", markdown_table(rows), "", *(f"- {line}" for line in lines), ""]),
    )
    try:
        picture = f"Curve: {plot_curves([Series.of(*row) for row in rows], folder / 'curve.png', title=title)}"
    except AnytimeError as error:  # a missing picture is no reason to end a paid run in an error
        picture = f"No curve was drawn: {error}"
    if as_json:
        print(json_line(report), end="")  # noqa: T201 - the machine-readable result, alone on stdout
        return
    # No markup: what stands in brackets, as in anytime-dspy[plot] or in a folder's name, is to be seen.
    console = Console(markup=False, highlight=False)
    console.print(f"\n{title}\n", style="bold")
    console.print(summary_table(rows))
    console.print(curve_table(rows))
    for line in lines:
        console.print(line)
    for line in _compile_lines((more or {}).get("compile")):
        console.print(line)
    console.print(f"\n{picture}", soft_wrap=True)
    console.print(f"All results: {folder}", soft_wrap=True)
    console.print(f"Example by example: anytime-dspy report {folder}", soft_wrap=True)


def _compile_lines(report: Mapping[str, Any] | None) -> Iterator[str]:
    """What a compile's report says in a line or two."""
    if report is None:
        return
    yield f"Judge: {report['reason']}."
    if gold := report["gold"]:
        decided = gold["agree"] + gold["disagree"]
        yield f"Where true quality differs, its pairs agree with it {gold['agree']} times of {decided}."
    if searched := report.get("search"):
        yield f"Race of {searched['candidates']}: {searched['verdict']}"
