"""Progress bars of a compile, and the status lines of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from anytime_dspy.cli.options import stderr

if TYPE_CHECKING:
    from anytime_dspy.batch import BatchJob
    from anytime_dspy.optimizers.search.progress import RaceProgress

__all__ = ["CompileBars", "compile_bars", "searching_line", "show_job"]


@dataclass(frozen=True)
class CompileBars:
    """What `PDP.compile` calls."""

    bars: Progress
    traces: TaskID
    squeezed: TaskID
    trials: TaskID

    def on_trace(self, _: Any) -> None:
        """Moves the bar of traces on by one; how many a later round samples is not known before."""
        self.bars.advance(self.traces)
        traces = self.bars.tasks[self.traces]
        if traces.total is not None and traces.completed > traces.total:
            traces.total = None

    def on_squeezed(self, _: Any) -> None:
        """Shows one more squeezed trace."""
        self.bars.update(self.squeezed, advance=1, visible=True)

    def on_trial(self, now: RaceProgress) -> None:
        """Shows how far the race is."""
        self.bars.update(self.trials, description=searching_line(now), completed=now.trials, total=now.of, visible=True)


@contextmanager
def compile_bars(traces: int) -> Iterator[CompileBars]:
    """Shows the bars on stderr for as long as the block lasts.

    Args:
        traces: The expected number of traces.
    """
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=10), MofNCompleteColumn())
    with Progress(*columns, console=stderr, transient=True) as bars:
        sampling = bars.add_task("Sampling traces", total=traces)
        squeezing = bars.add_task("Squeezing traces", total=None, visible=False)
        yield CompileBars(bars, sampling, squeezing, bars.add_task("Racing", total=None, visible=False))


def searching_line(now: RaceProgress) -> str:
    """Returns a race's state in one line.

    Args:
        now: As the race told it.
    """
    parts = [f"Heat {now.heat + 1} of {now.heats}", f"{now.remaining} left"]
    if now.gain is not None and now.interval is not None:
        parts.append(f"{now.leader} {now.gain:+.2f} [{now.interval[0]:+.2f}, {now.interval[1]:+.2f}]")
    parts += [f"{now.spent.calls} calls", f"{now.spent.tokens:,} tokens"]
    if now.spent.dollars is not None:
        parts.append(f"${now.spent.dollars:.2f}")
    if now.seconds_left is not None:
        minutes, seconds = divmod(round(now.seconds_left), 60)
        parts.append(f"{minutes}:{seconds:02} left")
    return ", ".join(parts)


def show_job(job: BatchJob) -> None:
    """Says on stderr how far a batch job is.

    Args:
        job: As `sweep_batch` tells it.
    """
    name = f" ({job.id})" if job.id else ""
    stderr.print(f"Batch job {job.number}{name}: {job.status}, {job.done} of {job.requests} requests", highlight=False)
