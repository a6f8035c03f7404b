"""The cells of the grid: each a folder that holds a method's program and its sweep, and can be gone on with."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.errors import DataError
from anytime_dspy.lms import open_lm
from anytime_dspy.measure import example_id
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.optimizers import LEAP, PDP, CompileReport, LeapReport
from anytime_dspy.programs.examples import question_hash, spread, test_examples
from anytime_dspy.programs.measurement import Measurement, fingerprint
from anytime_dspy.programs.registry import chosen_task
from anytime_dspy.programs.saved import save_program
from anytime_dspy.programs.task import Task
from anytime_dspy.statistics.summary import Summary
from anytime_dspy.storage.results import ExampleResult
from anytime_dspy.storage.run_folder import RunStore
from experiments.command import sweeping_bar
from experiments.paper.grid import DataSet, Grid, Method, Model

__all__ = ["Bench", "Cell", "Examples", "examples_of", "measured", "open_model"]


@dataclass(frozen=True)
class Examples:
    """A data set, read.

    Attributes:
        task: Its task.
        test: What is measured on.
        train: What is learned from.
    """

    task: Task
    test: Sequence[dspy.Example]
    train: Sequence[dspy.Example]


@dataclass(frozen=True)
class Cell:
    """A method, measured.

    Attributes:
        results: Of each example.
        summary: What they come to.
        compiling: Tokens that compiling took, sent and generated; calls that DSPy's cache answered count in full.
    """

    results: Sequence[ExampleResult]
    summary: Summary
    compiling: int


@dataclass(frozen=True)
class Bench:
    """What the methods of one model on one data set share.

    Attributes:
        grid: The whole grid.
        model: The row.
        data: The column.
        examples: The column's examples.
        lm: The row's LM.
        folder: Of the whole grid.
    """

    grid: Grid
    model: Model
    data: DataSet
    examples: Examples
    lm: dspy.LM
    folder: Path

    @property
    def student(self) -> Anytime:
        """The plain program at the column's budgets."""
        task = self.examples.task
        return Anytime(task.program(), self.data.budgets, answer_tokens=self.data.answer_tokens or task.answer_tokens)

    def cell(self, method: Method) -> Path:
        """Returns the folder of one method."""
        return self.folder.joinpath(*(_plain(name) for name in (self.data.name, self.model.name, method)))


def open_model(model: Model, threads: int) -> dspy.LM:
    """Returns a row's LM, greedy.

    Raises:
        ModelError: There is none of that name.
        DataError: The function that makes a simulated one cannot be found.
    """
    if model.simulated is None:
        if model.options:
            return dspy.LM(model.lm, **{"temperature": 0.0, **model.options})
        return open_lm(model.lm, threads=threads)
    module, _, function = model.simulated.partition(":")
    try:
        made: dspy.LM = getattr(importlib.import_module(module), function)(model.lm)
    except (ImportError, AttributeError) as error:
        raise DataError(f"model {model.name}: no simulated engine {model.simulated} ({error})") from error
    return made


def examples_of(data: DataSet, seed: int, *, learning: bool, show_texts: bool) -> Examples:
    """Reads a column's examples.

    Args:
        data: The column.
        seed: Of generated examples.
        learning: Whether a method learns from the training examples, and leaves their texts in its folder.
        show_texts: Whether a private task's texts may stand there.

    Raises:
        DataError: The data cannot be read, its texts are private, or an example is in both splits.
    """
    task = chosen_task(data.task, show_texts=show_texts, copies_texts=learning)
    if data.generated:
        test, train = test_examples(task, None, None, seed, data.limit), task.generate(data.train, seed)
    else:
        test = task.load(data.data, data.split)
        train = task.load(data.train_data or data.data, data.train_split) if learning else []
    test, train = spread(test, data.limit), spread(train, data.train)
    shared = {question_hash(example) for example in train} & {question_hash(example) for example in test}
    if shared:
        raise DataError(
            f"{data.name}: {len(shared)} examples would be both learned from and measured on: name other splits, or "
            "train_data"
        )
    if not test or (learning and not train):
        raise DataError(f"{data.name}: no examples in {data.train_split if test else data.split}: name another split")
    return Examples(task, test, train)


def measured(bench: Bench, method: Method) -> Cell:
    """Runs a cell, or what is missing of it.

    Raises:
        AnytimeError: The cell's folder holds another run, or the method cannot be compiled.
        LMError: The LM failed.
    """
    examples, grid = bench.examples, bench.grid
    measurement = Measurement(examples.task, examples.test, bench.lm, grid.threads, grid.seed, bar=sweeping_bar)
    folder = bench.cell(method)
    label = f"{bench.model.name}, {bench.data.name}, {method}"
    program = bench.student if method == "Base" else _compiled(bench, method, folder / "compile")
    found = measurement.of(label, program, folder / "sweep")
    return Cell(found.results, found.summary, compile_tokens(method, folder / "compile" / "report.json"))


def _compiled(bench: Bench, method: Method, folder: Path) -> Anytime:
    """The method's program: the one in the folder, or one compiled now and saved there."""
    settings = {
        "method": method,
        "seed": bench.grid.seed,
        "train": [example_id(e, n) for n, e in enumerate(bench.examples.train)],
    }
    settings |= {"answers": bench.grid.leap_answers} if method == "LEAP" else {"samples": bench.grid.samples}
    settings |= {"trials": bench.grid.trials} if method == "PDP, raced" else {}
    RunStore.open(folder, fingerprint(bench.examples.task, bench.student, bench.lm, **settings))
    saved = folder / "program.json"
    if saved.exists():
        return bench.student.load(saved)
    with dspy.context(lm=bench.lm):
        compiled = _optimiser(bench, method, folder).compile(bench.student, trainset=list(bench.examples.train))
    save_program(compiled, saved, bench.examples.task.name)
    return compiled


def _optimiser(bench: Bench, method: Method, folder: Path) -> Any:
    """PDP and PDP(+) sample and judge the same traces; the second to come finds the calls in DSPy's cache."""
    grid, task = bench.grid, bench.examples.task
    metric = AnytimeIndex(task.quality)
    if method == "LEAP":
        return LEAP(metric, samples=grid.leap_answers, threads=grid.threads, seed=grid.seed, log_dir=folder)
    return PDP(
        metric,
        samples=grid.samples,
        contrastive=method != "PDP(+)",
        judge=bench.data.judge,
        answer_key=task.answer_key,
        trials=grid.trials if method == "PDP, raced" else 0,
        rounds=1,
        threads=grid.threads,
        seed=grid.seed,
        log_dir=folder,
    )


def compile_tokens(method: Method, report: Path) -> int:
    """Returns the tokens that a compile spent, by its report."""
    if method == "Base":
        return 0
    kind = LeapReport if method == "LEAP" else CompileReport
    return kind.read(report).usage.tokens


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name.replace("+", "plus")).strip("-").lower()
