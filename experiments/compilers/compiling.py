"""Compiling within a number of LM tokens, and what is taken of a compiler that they stop."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from anytime_dspy.anytime import Anytime
from anytime_dspy.calls.tokens import counter_for
from anytime_dspy.errors import AnytimeError
from anytime_dspy.state import program_hash
from experiments.compilers.meter import LimitReached, TokenMeter
from experiments.compilers.methods import Job, Method
from experiments.compilers.result import Ended
from experiments.compilers.watching import Watcher

__all__ = ["Compiled", "compiled_within"]


@dataclass(frozen=True)
class Compiled:
    """What a compile left, and what it used.

    Attributes:
        program: The compiler's own, or the best that it had at the limit, or the student.
        tokens: Sent and received.
        calls: Of the LM.
        ended: Whether the compiler was over before the limit.
        validation: What it measured of the program on all of the examples that it chooses by; None where it did not.
        student_validation: The same of the student.
    """

    program: Anytime
    tokens: int
    calls: int
    ended: Ended
    validation: float | None = None
    student_validation: float | None = None


def compiled_within(limit: int, method: Method, job: Job) -> Compiled:
    """Compiles, and never counts a call that began beyond the limit.

    Raises:
        Exception: Whatever the compiler raises.
    """
    for share in job.settings.shares if method.stops_itself else (1.0,):
        compiled, cut = _tried(limit, method, replace(job, tokens=int(share * limit)))
        if not cut:
            break
    return compiled


def _tried(limit: int, method: Method, job: Job) -> tuple[Compiled, bool]:
    """One try, and whether the limit cut it off."""
    meter, watcher = TokenMeter(counter_for(job.lm), limit), method.watcher(job)

    def left(program: Anytime, ended: Ended) -> Compiled:
        return Compiled(program, meter.tokens, meter.calls, ended, *_believed(program, job.student, watcher))

    try:
        with meter.running(watcher):
            # A copy: DSPy's optimisers may write into the program that they are given.
            program = method.compile(replace(job, student=job.student.deepcopy()))
    except LimitReached:
        return left(watcher.best or job.student, "at the limit"), True
    except AnytimeError:
        if not method.stops_itself or meter.tokens < job.tokens:
            raise
        return left(job.student, "at the limit"), False  # its tokens were gone before it had measured anything
    return left(program, "at the limit" if getattr(_search(program), "stopped", None) else "by itself"), False


def _believed(program: Anytime, student: Anytime, watcher: Watcher) -> tuple[float | None, float | None]:
    """What a compiler measured of the program that it chose, and of the student, where it did.

    Of a race it is the gain as it was seen, not the shrunk one: the table is to show how far that was too good.
    """
    search = _search(program)
    if search is not None:
        return search.student + (search.raw or 0.0 if search.gain else 0.0), search.student
    return watcher.measured.get(program_hash(program)), watcher.measured.get(program_hash(student))


def _search(program: Anytime) -> Any:
    """The part of PDP's report that tells of its search; None of any other compiler's program."""
    return getattr(getattr(program, "compile_report", None), "search", None)
