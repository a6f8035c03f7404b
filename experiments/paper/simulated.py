"""How far the estimate of a grid is from a run: `python -m experiments.paper.simulated --in-flight 64 --latency 2`.

The methods run as they would, on an LM that waits as a provider would let us wait, and that uses up whatever it may:
each trace goes beyond its largest budget, each answer is wrong and as long as it may be. That is what the estimate
assumes, so calls and tokens should be the same, and the hours too but for what our own code takes.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import dspy
import typer
from rich.console import Console
from rich.table import Table

from anytime_dspy.optimizers.prompts.principles import CONDENSED, PRINCIPLE_TOKENS
from anytime_dspy.testing import ScriptedEngine, WordCounter, asked_for, chat, words
from experiments.command import run
from experiments.paper.cells import Bench, examples_of, measured
from experiments.paper.estimate import Cost, Pace, estimate
from experiments.paper.grid import DataSet, Grid, Method, Model

__all__ = ["Clock", "Compared", "compared", "simulated_grid"]

BUDGETS = (16, 32, 64, 128)
METHODS: tuple[Method, ...] = ("Base", "LEAP", "PDP(+)", "PDP")


@dataclass(frozen=True)
class Compared:
    """A cell, estimated and run.

    Attributes:
        method: The method.
        estimated: What it costs at most.
        spent: What it did cost.
        seconds: How long it should take.
        took: How long it took.
    """

    method: Method
    estimated: Cost
    spent: Cost
    seconds: float
    took: float


class Clock:
    """What the LM waits by, and a run is timed by."""

    def now(self) -> float:
        """Returns the seconds since some time."""
        return time.monotonic()

    def wait(self, seconds: float, request: Any) -> None:
        """Returns when a request that was sent now has been replied to."""
        time.sleep(seconds)


class _Greedy(ScriptedEngine):
    """Uses up what it may, and replies no sooner than the pace has it.

    Args:
        pace: How fast it is.
        clock: What it waits by.
        answers: How many answers it gives in turn, all of them wrong: LEAP learns from different ones, and PDP's judge
            from those that are given again.
        answer_tokens: What an answer may take.
    """

    def __init__(self, pace: Pace, clock: Clock, answers: int, answer_tokens: int) -> None:
        numbers = itertools.count()
        super().__init__(lambda request: self._greedy(request, next(numbers)), can_continue=False)
        self._pace = pace
        self._clock = clock
        self._answers = answers
        self._last_caps = (answer_tokens, PRINCIPLE_TOKENS, CONDENSED * PRINCIPLE_TOKENS)

    def _greedy(self, request: Any, number: int) -> str:
        """What comes to no end until it is asked for the last time, and then takes all but a token of its cap.

        A text that fills its cap would be taken for one that was cut. One without a header has to be asked for again.
        """
        cap, fields = request.config.max_tokens, asked_for(request)
        if cap not in self._last_caps:
            endless = words(2 * cap, f"w{number}x")
            return chat(reasoning=endless) if fields[0] == "reasoning" else endless
        is_answer = fields == ("answer",)
        first = str(10**6 + number % self._answers) if is_answer else f"Rule {number}:"
        room = cap - 1 - WordCounter().count(chat(**{fields[0]: first}))
        return chat(**{fields[0]: f"{first} {words(room, 'so' if is_answer else f'w{number}x')}"})

    def complete(self, request: Any) -> Any:
        response = super().complete(request)
        self._clock.wait(self._pace.latency + (response.usage.output_tokens or 0) / self._pace.speed, request)
        return response

    @property
    def spent(self) -> Cost:
        """What all calls cost."""
        used = [response.usage for response in self.responses]
        return Cost(
            len(used), sum(each.input_tokens or 0 for each in used), sum(each.output_tokens or 0 for each in used)
        )


def simulated_grid(test: int, train: int, in_flight: int) -> Grid:
    """Returns a grid of one model and one data set with the paper's methods, small enough to be waited for."""
    return Grid(
        title="Simulated",
        model=(Model(name="greedy", lm="greedy"),),
        data=(DataSet(name="words", task="word_problems", generated=True, limit=test, train=train, budgets=BUDGETS),),
        methods=METHODS,
        samples=4,
        leap_answers=4,
        threads=in_flight,
    )


def compared(grid: Grid, pace: Pace, clock: Clock | None = None) -> list[Compared]:
    """Estimates each method of a simulated grid, and runs it.

    Args:
        grid: From `simulated_grid`.
        pace: How fast the LM is.
        clock: What it waits by; by default, the time of day.
    """
    clock = clock or Clock()
    (model,), (data,) = grid.models, grid.data
    examples = examples_of(data, grid.seed, learning=True, show_texts=False)
    lines = estimate(grid, {data.name: examples}, WordCounter())
    found = []
    for line in lines:
        engine = _Greedy(pace, clock, 10**6 if line.method == "LEAP" else 3, examples.task.answer_tokens)
        lm = dspy.LM(f"simulated/{line.method}", engine=engine, cache=False, temperature=0.0)
        with tempfile.TemporaryDirectory() as folder:
            begun = clock.now()
            measured(Bench(grid, model, data, examples, lm, Path(folder)), line.method)
            took = clock.now() - begun
        found.append(Compared(line.method, line.cost, engine.spent, pace.seconds(line.stages, grid.threads), took))
    return found


def simulated(
    in_flight: Annotated[int, typer.Option("--in-flight", min=1, help="Calls at the same time.")] = 64,
    latency: Annotated[float, typer.Option("--latency", min=0.0, help="Seconds until the first token.")] = 2.0,
    speed: Annotated[float, typer.Option("--speed", min=1.0, help="Tokens a second from then on.")] = 100.0,
    examples: Annotated[int, typer.Option("--examples", min=2, help="To measure on.")] = 128,
) -> None:
    """Runs a small grid on an LM that waits, and says how far it was from its estimate."""
    compared(simulated_grid(2, 2, in_flight), Pace(0.0, 1e9))  # loads what is loaded late
    table = Table(title=f"Estimated, and run with {in_flight:,} calls in flight")
    table.add_column("Method")
    for column in ("Calls", "Prompt tokens", "Completion tokens", "Seconds"):
        table.add_column(column, justify="right")
    for each in compared(simulated_grid(examples, 16, in_flight), Pace(latency, speed)):
        pairs = [
            (getattr(each.estimated, name), getattr(each.spent, name)) for name in ("calls", "prompt", "completion")
        ]
        counts = [f"{estimated:,} : {spent:,}" for estimated, spent in pairs]
        table.add_row(each.method, *counts, f"{each.seconds:,.1f} : {each.took:,.1f}")
    Console().print(table)


if __name__ == "__main__":
    run(simulated)
