"""A cell: compiling within a number of tokens, and measuring what came of it on held-out examples.

A cell is compiled once for each of its limits, each time from the start. DSPy's cache, kept on disk, answers what an
earlier compile of the same bench and seed asked: so the second limit pays only for what lies beyond the first, and a
cell that was killed comes again to where it was. Tokens are counted as if there were no cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.cli.common import save_program
from anytime_dspy.cli.measure import Measurement
from anytime_dspy.errors import AnytimeError
from anytime_dspy.files import content_hash
from anytime_dspy.index import AnytimeIndex
from anytime_dspy.statistics import item_indices
from anytime_dspy.sweep import program_hash
from anytime_dspy.tokens import counter_for
from experiments.compilers import methods
from experiments.compilers.examples import Examples, examples_of
from experiments.compilers.meter import LimitReached, TokenMeter
from experiments.compilers.methods import BASE, COMPILERS, Job
from experiments.compilers.plan import Bench, Cell
from experiments.compilers.result import Ended, Point, Result
from experiments.compilers.watching import Watcher

__all__ = ["Desk", "settings_of"]


@dataclass(frozen=True)
class _Compiled:
    """What a compile left, and what it used."""

    program: Anytime
    tokens: int
    calls: int
    ended: Ended
    validation: float | None = None
    student_validation: float | None = None


@dataclass(frozen=True)
class Desk:
    """What the cells of one bench and seed share.

    Attributes:
        bench: The bench.
        seed: The seed.
        examples: Drawn by the seed.
        lm: The bench's LM.
        threads: Examples run at the same time.
        folder: For the cache, the programs and their sweeps; it can be deleted once the results are there.
    """

    bench: Bench
    seed: int
    examples: Examples
    lm: dspy.LM
    threads: int
    folder: Path

    @classmethod
    def of(cls, cell: Cell, lm: dspy.LM, threads: int, work: Path) -> Desk:
        """Returns the desk of a cell.

        Raises:
            DataError: Its examples cannot be had.
        """
        folder = work / cell.bench.name / f"seed{cell.seed}"
        return cls(cell.bench, cell.seed, examples_of(cell.bench, cell.seed), lm, threads, folder)

    def run(self, compiler: str) -> Result:
        """Runs a cell, or what is missing of it. Whatever its compiler raises makes a failed cell of it, and no more.

        Raises:
            OSError: The folder cannot be written.
        """
        result = Result(
            bench=self.bench.name,
            task=self.examples.task.name,
            model=self.lm.model,
            compiler=compiler,
            seed=self.seed,
            simulated=self.bench.model.simulated is not None,
            settings=settings_of(self.bench, compiler),
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
            yield self._measured(_Compiled(self._student(), 0, 0, "by itself"), 0)
            return
        for limit in self.bench.limits:
            yield self._measured(self._compiled(compiler, limit), limit)

    def _compiled(self, compiler: str, limit: int) -> _Compiled:
        method, job = COMPILERS[compiler], self._job(limit)
        meter = TokenMeter(counter_for(self.lm), None if method.stops_itself else limit)
        watcher = method.watcher(job)
        ended: Ended = "by itself"
        with self._printing(compiler):
            try:
                with meter.running(watcher):
                    program = method.compile(job)
                if method.stops_itself and _stopped(program):
                    ended = "at the limit"
            except LimitReached:
                program, ended = watcher.best or job.student, "at the limit"
            except AnytimeError:
                if not method.stops_itself or meter.tokens < methods.SHARE * limit:
                    raise
                program, ended = job.student, "at the limit"  # its tokens were gone before it had measured anything
        validation, of_student = _believed(program, job.student, watcher)
        return _Compiled(program, meter.tokens, meter.calls, ended, validation, of_student)

    def _measured(self, compiled: _Compiled, limit: int) -> Point:
        program, key = compiled.program, program_hash(compiled.program)
        folder = self.folder / "programs" / key  # the plain program's sweep is every cell's that falls back on it
        measurement = Measurement(self.examples.task, self.examples.test, self.lm, self.threads, self.seed)
        measured = measurement.of(f"{self.bench.name}, seed {self.seed}, {key}", program, folder / "sweep")
        save_program(program, folder / "program.json", self.examples.task.name)
        spent = measured.summary.tokens
        return Point(
            limit=limit,
            tokens=compiled.tokens,
            calls=compiled.calls,
            ended=compiled.ended,
            program=key,
            is_student=key == program_hash(self._student()),
            demonstrations=len(program.predictors()[0].demos),
            validation=compiled.validation,
            student_validation=compiled.student_validation,
            indices=item_indices(measured.results, best_so_far=False),
            tokens_a_run=spent.prompt + spent.reasoning + spent.answer + spent.hidden,
            failed=measured.summary.failed,
        )

    def _job(self, limit: int) -> Job:
        task = self.examples.task
        return Job(
            student=self._student(),
            train=self.examples.train,
            validation=self.examples.validation,
            metric=AnytimeIndex(task.quality, best_so_far=False),
            answer_key=task.answer_key,
            lm=self.lm,
            seed=self.seed,
            threads=self.threads,
            tokens=limit,
        )

    def _student(self) -> Anytime:
        """A fresh one: DSPy's optimisers may write into the program that they are given."""
        task = self.examples.task
        return Anytime(task.program(), self.bench.budgets, answer_tokens=self.bench.answer_tokens or task.answer_tokens)

    @contextmanager
    def _printing(self, compiler: str) -> Iterator[None]:
        """DSPy's optimisers print as they go; that is kept beside their work."""
        with (self.folder / f"{Cell(self.bench, compiler, self.seed).path.name}.log").open("a") as log:
            with redirect_stdout(log):
                yield


def settings_of(bench: Bench, compiler: str) -> str:
    """Returns a hash of all that decides a cell's figures: the bench, and the compilers' settings as the code has them.

    Threads are no part of it.
    """
    if compiler == BASE:
        return content_hash([bench.model_dump(exclude={"tokens"}), compiler])
    settings = [methods.DEMOS, methods.SHARE, methods.RACE, methods.SIMBA_BATCH, methods.SIMBA_CANDIDATES]
    return content_hash([bench.model_dump(), compiler, settings])


def _believed(program: Anytime, student: Anytime, watcher: Watcher) -> tuple[float | None, float | None]:
    """What a compiler measured of the program that it chose, and of the student, where it did."""
    search = getattr(getattr(program, "compile_report", None), "search", None)
    if search is not None:
        return search.score, search.student
    return watcher.measured.get(program_hash(program)), watcher.measured.get(program_hash(student))


def _stopped(program: Anytime) -> bool:
    search = getattr(getattr(program, "compile_report", None), "search", None)
    return getattr(search, "stopped", None) is not None


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
