"""What a sweep costs on a real model: against one full generation, and against a live run for each budget."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from statistics import median
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError

import anytime_dspy as ad
from anytime_dspy.programs import get_task

BUDGETS = (16, 32, 64, 96, 128, 160, 208, 256)
ANSWER_TOKENS = 16
GOAL_OVER_ONE = 1.15
GOAL_UNDER_LIVE = 3.0


@dataclass(frozen=True)
class SweepCost:
    """What was measured; every ratio is the median over the examples, each measured on its own three runs.

    Attributes:
        model: The model's name.
        budgets: The checkpoints, in reasoning tokens.
        answer_tokens: The cap on each answer.
        examples: Word problems swept.
        reached: Mean number of checkpoints that the traces went beyond: only those have an answer to force.
        sweep_seconds: Median wall time of a sweep.
        one_seconds: Median wall time of one generation with the sweep's largest cap.
        live_seconds: Median wall time of a live run at each budget, all together.
        over_one: Sweep over one generation.
        goal_over_one: What `over_one` should stay below.
        under_live: Live runs over sweep.
        goal_under_live: What `under_live` should stay above.
        decoded_over_one: Tokens that the sweep decoded over those of the one generation.
        read_tokens: Median number of prompt tokens that a forced answer had to read, by the engine's own counter; None
            where the engine does not tell.
        prompt_tokens: Median number of prompt tokens of a forced answer, those held by its prefix cache included.
    """

    model: str
    budgets: tuple[int, ...]
    answer_tokens: int
    examples: int
    reached: float
    sweep_seconds: float
    one_seconds: float
    live_seconds: float
    over_one: float
    goal_over_one: float
    under_live: float
    goal_under_live: float
    decoded_over_one: float
    read_tokens: float | None
    prompt_tokens: float


@dataclass(frozen=True)
class _Timed:
    seconds: float
    history: list[dict[str, Any]]

    @property
    def decoded(self) -> int:
        return sum(entry["response"].usage.output_tokens for entry in self.history)


def measure(model: str, examples: int = 6) -> SweepCost:
    """Measures on `examples` generated word problems; the order of the three ways changes with each example."""
    task = get_task("word_problems")
    program = task.program()
    anytime = ad.Anytime(program, BUDGETS, answer_tokens=ANSWER_TOKENS)
    lm = ad.local_lm(model, temperature=0.0, cache=False)

    def sweep(problem: str) -> None:
        anytime(problem=problem)

    def one(problem: str, cap: int = BUDGETS[-1] + ANSWER_TOKENS) -> None:
        # Whether it could be parsed is of no interest here.
        with suppress(AdapterParseError), dspy.context(adapter=dspy.ChatAdapter(use_json_adapter_fallback=False)):
            program(problem=problem, config={"max_tokens": cap})

    def live(problem: str) -> None:
        for tokens in BUDGETS:
            anytime.at(tokens)(problem=problem)

    def timed(way: Callable[[str], None], problem: str) -> _Timed:
        one(another, cap=1)  # takes the problem out of the prefix cache, so that each way has to read it
        known, begun = len(lm.history), time.perf_counter()
        way(problem)
        return _Timed(time.perf_counter() - begun, lm.history[known:])

    ways: list[Callable[[str], None]] = [sweep, one, live]
    another, *problems = (example.problem for example in task.generate(examples + 1, seed=11))
    runs: list[dict[str, _Timed]] = []
    with dspy.context(lm=lm):
        sweep(another)  # loads the model
        for turn, problem in enumerate(problems):
            order = ways[turn % 3 :] + ways[: turn % 3]
            runs.append({way.__name__: timed(way, problem) for way in order})
    forced = [entry["response"].usage for run in runs for entry in run["sweep"].history[1:]]
    told = [usage for usage in forced if usage.cache_read_tokens is not None]
    read = [usage.input_tokens - usage.cache_read_tokens for usage in told]
    return SweepCost(
        model=lm.model,
        budgets=BUDGETS,
        answer_tokens=ANSWER_TOKENS,
        examples=examples,
        reached=len(forced) / examples,
        sweep_seconds=median(run["sweep"].seconds for run in runs),
        one_seconds=median(run["one"].seconds for run in runs),
        live_seconds=median(run["live"].seconds for run in runs),
        over_one=median(run["sweep"].seconds / run["one"].seconds for run in runs),
        goal_over_one=GOAL_OVER_ONE,
        under_live=median(run["live"].seconds / run["sweep"].seconds for run in runs),
        goal_under_live=GOAL_UNDER_LIVE,
        decoded_over_one=median(run["sweep"].decoded / run["one"].decoded for run in runs),
        read_tokens=median(read) if read else None,
        prompt_tokens=median(usage.input_tokens for usage in forced),
    )
