"""A cell: compiling within a number of tokens, and measuring what came of it on held-out examples.

A cell is compiled once for each of its limits, each time from the start. DSPy's cache, kept on disk, answers what an
earlier compile of the same bench and seed asked: so the second limit pays only for what lies beyond the first, and a
cell that was killed comes again to where it was. Tokens are counted as if there were no cache.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.programs.measurement import Measurement
from anytime_dspy.programs.saved import save_program
from anytime_dspy.state import program_hash
from anytime_dspy.statistics.summary import item_indices
from experiments.command import sweeping_bar
from experiments.compilers.compiling import Compiled, compiled_within
from experiments.compilers.examples import Examples, examples_of
from experiments.compilers.methods import BASE, COMPILERS, Job
from experiments.compilers.plan import Bench, Cell, Plan
from experiments.compilers.result import Point, Result

__all__ = ["CellRunner"]


@dataclass(frozen=True)
class CellRunner:
    """Runs the cells of one bench and seed.

    Attributes:
        plan: The plan.
        bench: The bench.
        seed: The seed.
        examples: Drawn by the seed.
        lm: The bench's LM.
        folder: For the cache, the programs and their sweeps; it can be deleted once the results are there.
    """

    plan: Plan
    bench: Bench
    seed: int
    examples: Examples
    lm: dspy.LM
    folder: Path

    @classmethod
    def of(cls, plan: Plan, cell: Cell, lm: dspy.LM, work: Path) -> CellRunner:
        """Returns the runner of a cell.

        Raises:
            DataError: Its examples cannot be had.
        """
        folder = work / cell.bench.name / f"seed{cell.seed}"
        return cls(plan, cell.bench, cell.seed, examples_of(cell.bench, cell.seed), lm, folder)

    def run(self, compiler: str) -> Result:
        """Runs a cell, or what is missing of it. Whatever its compiler raises makes a failed cell of it, and no more.

        Raises:
            OSError: The folder cannot be written.
        """
        cell = Cell(self.bench, compiler, self.seed)
        result = Result(
            bench=self.bench.name,
            task=self.examples.task.name,
            model=self.lm.model,
            compiler=compiler,
            seed=self.seed,
            simulated=self.bench.model.simulated is not None,
            fingerprint=self.plan.fingerprint(cell),
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with _caching(self.folder / "cache"), dspy.context(lm=self.lm):
                return replace(result, points=tuple(self._points(compiler)))
        except OSError:
            raise
        except Exception as error:  # a compiler is anyone's code
            return replace(result, error=f"{type(error).__name__}: {' '.join(str(error).split())}")

    def _points(self, compiler: str) -> Iterator[Point]:
        if compiler == BASE:
            yield self._measured(Compiled(self._student, 0, 0, "by itself"), 0)
            return
        for limit in self.bench.limits:
            with self._printing(compiler):
                compiled = compiled_within(limit, COMPILERS[compiler], self._job)
            yield self._measured(compiled, limit)

    def _measured(self, compiled: Compiled, limit: int) -> Point:
        program, key = compiled.program, program_hash(compiled.program)
        folder = self.folder / "programs" / key  # the plain program's sweep is every cell's that falls back on it
        examples, threads = self.examples, self.plan.threads
        measurement = Measurement(examples.task, examples.test, self.lm, threads, self.seed, bar=sweeping_bar)
        measured = measurement.of(f"{self.bench.name}, seed {self.seed}, {key}", program, folder / "sweep")
        save_program(program, folder / "program.json", self.examples.task.name)
        spent = measured.summary.tokens
        return Point(
            limit=limit,
            tokens=compiled.tokens,
            calls=compiled.calls,
            ended=compiled.ended,
            program=key,
            is_student=key == program_hash(self._student),
            demonstrations=len(program.predictors()[0].demos),
            validation=compiled.validation,
            student_validation=compiled.student_validation,
            indices=item_indices(measured.results, best_so_far=False),
            tokens_a_run=spent.prompt + spent.reasoning + spent.answer + spent.hidden,
            failed=measured.summary.failed,
        )

    @property
    def _job(self) -> Job:
        task = self.examples.task
        return Job(
            student=self._student,
            train=self.examples.train,
            validation=self.examples.validation,
            metric=AnytimeIndex(task.quality, best_so_far=False),
            answer_key=task.answer_key,
            lm=self.lm,
            seed=self.seed,
            threads=self.plan.threads,
            settings=self.plan.settings,
            tokens=self.bench.tokens,
        )

    @property
    def _student(self) -> Anytime:
        task = self.examples.task
        return Anytime(task.program(), self.bench.budgets, answer_tokens=self.bench.answer_tokens or task.answer_tokens)

    @contextmanager
    def _printing(self, compiler: str) -> Iterator[None]:
        """DSPy's optimisers print as they go; that is kept beside their work. What they log as well is not."""
        logger = logging.getLogger("dspy")
        level = logger.level
        logger.setLevel(logging.WARNING)
        try:
            with (
                (self.folder / f"{Cell(self.bench, compiler, self.seed).path.name}.log").open("a") as log,
                redirect_stdout(log),
            ):
                yield
        finally:
            logger.setLevel(level)


@contextmanager
def _caching(folder: Path) -> Iterator[None]:
    """Has DSPy keep its cache in a folder inside the `with` block."""
    before = dspy.cache
    dspy.configure_cache(disk_cache_dir=str(folder))
    try:
        yield
    finally:
        dspy.cache.disk_cache.close()
        dspy.cache = before
