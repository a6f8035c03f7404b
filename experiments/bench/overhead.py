"""What a budget costs where the LM costs nothing: CPU time of a call with it and without it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from itertools import count
from statistics import median
from typing import Any

import dspy
from dspy.lm15 import Message, Request, Response, Usage

import anytime_dspy as ad

REPLY = "[[ ## reasoning ## ]]\nTwo and two are four, {}.\n\n[[ ## answer ## ]]\n4\n\n[[ ## completed ## ]]"
QUESTION = "What are two and two, question {}?"
WARM_UP = 200
BATCHES, AT_ONCE = 21, 64
WINDOW = 500
GOAL = 1.05


class WordCounter:
    """Counts words: next to no work, so that what is measured is the budget's own."""

    name = "words"

    def count(self, text: str) -> int:
        """Returns the number of words."""
        return len(text.split())

    def cut(self, text: str, tokens: int) -> str:
        """Returns the first `tokens` words."""
        if self.count(text) <= tokens:
            return text
        first = re.match(rf"(?:\s*\S+){{{tokens}}}", text)
        return first.group() if first else text


class InstantEngine:
    """Answers at once, each time with other words, so that nothing is gained by remembering them."""

    counter = WordCounter()

    def __init__(self) -> None:
        self.numbers = count()

    def complete(self, request: Request) -> Response:
        """Returns the next reply."""
        usage = Usage(input_tokens=100, output_tokens=16)
        return Response(None, request.model, Message.assistant(REPLY.format(next(self.numbers))), "stop", usage)


class LongEngine(InstantEngine):
    """Reasons for 100 words, of which every budget of the sweep takes some, and keeps what it was asked."""

    can_continue = True
    supported_params = frozenset({"max_tokens", "temperature", "stop"})

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Request] = []

    def complete(self, request: Request) -> Response:
        """Returns the reply, cut off at the cap; "4" where an answer is asked for."""
        self.asked.append(request)
        is_forced = request.messages[-1].role == "assistant"
        first = next(self.numbers)
        whole = "4" if is_forced else f"[[ ## reasoning ## ]]\n{' '.join(f'step{first + n}' for n in range(100))}"
        text = self.counter.cut(whole, request.config.max_tokens or 1000)
        usage = Usage(input_tokens=100, output_tokens=self.counter.count(text))
        return Response(None, request.model, Message.assistant(text), "stop" if is_forced else "length", usage)


class AsyncInstantEngine(InstantEngine):
    """The same for `await`."""

    async def complete(self, request: Request) -> Response:  # type: ignore[override]
        """Returns the next reply."""
        return InstantEngine.complete(self, request)


@dataclass(frozen=True)
class Overhead:
    """What was measured, on this process's CPU clock, so that other processes disturb little.

    Attributes:
        pairs: Calls of each kind, taken in turns.
        bare_microseconds: Median CPU time of a call without a budget.
        budgeted_microseconds: Median CPU time of the same call with one, opened for this call.
        added_microseconds: Median of the pairs' differences.
        ratio: Median of the pairs' ratios.
        goal: What the ratio should stay below.
        ratio_at_first: The same ratio under one budget around many calls, at the first of them.
        ratio_at_last: And at the last of them, when the record of the others has grown.
        long_calls: How many calls those are.
        ratio_in_threads: The first ratio where 8 threads call at once, over all calls of a batch; median over batches.
        ratio_async: The same for 64 calls that are awaited together.
        sweep_ratio: CPU time of a sweep of eight checkpoints over that of its own nine LM calls made by hand.
        sweep_over_program: The same over nine calls of the bare program, which ends each of them by itself.
    """

    pairs: int
    bare_microseconds: float
    budgeted_microseconds: float
    added_microseconds: float
    ratio: float
    goal: float
    ratio_at_first: float
    ratio_at_last: float
    long_calls: int
    ratio_in_threads: float
    ratio_async: float
    sweep_ratio: float
    sweep_over_program: float


def measure(pairs: int = 3000, long_calls: int = 5000) -> Overhead:
    """Measures both."""
    program = dspy.ChainOfThought("question -> answer")

    def budgeted(**inputs: str) -> dspy.Prediction:
        with ad.budget(64):
            return program(**inputs)

    async def abudgeted(**inputs: str) -> dspy.Prediction:
        with ad.budget(64):
            return await program.acall(**inputs)

    lm = dspy.LM("bench/instant", engine=InstantEngine(), async_engine=AsyncInstantEngine(), cache=False)
    with dspy.context(lm=lm):
        threads = [(_threads(program), _threads(budgeted)) for _ in range(BATCHES)][1:]
        tasks = [(_tasks(program.acall), _tasks(abudgeted)) for _ in range(BATCHES)][1:]
        taken = [(_time(program, n), _time(budgeted, n)) for n in range(WARM_UP + pairs)][WARM_UP:]
    with dspy.context(lm=lm), ad.budget(10**9):
        long = [(_time_outside(program, n), _time(program, n)) for n in range(WARM_UP + long_calls)][WARM_UP:]
    sweeps = _sweeps(program, lm)
    return Overhead(
        pairs=pairs,
        bare_microseconds=1e6 * median(bare for bare, _ in taken),
        budgeted_microseconds=1e6 * median(with_budget for _, with_budget in taken),
        added_microseconds=1e6 * median(with_budget - bare for bare, with_budget in taken),
        ratio=_ratio(taken),
        goal=GOAL,
        ratio_at_first=_ratio(long[:WINDOW]),
        ratio_at_last=_ratio(long[-WINDOW:]),
        long_calls=long_calls,
        ratio_in_threads=_ratio(threads),
        ratio_async=_ratio(tasks),
        sweep_ratio=_ratio([(by_hand, swept) for by_hand, _, swept in sweeps]),
        sweep_over_program=_ratio([(bare, swept) for _, bare, swept in sweeps]),
    )


def _ratio(pairs: list[tuple[float, float]]) -> float:
    return median(with_budget / bare for bare, with_budget in pairs)


def _sweeps(program: dspy.Module, instant: dspy.LM) -> list[tuple[float, float, float]]:
    """Seconds of a sweep's own calls made by hand, of as many calls of the bare program, and of the sweep."""
    engine = LongEngine()
    lm = dspy.LM("bench/long", engine=engine, cache=False)
    anytime = ad.Anytime(program, (8, 16, 24, 32, 40, 48, 56, 64), answer_tokens=16)
    taken = []
    for number in range(WARM_UP):
        engine.asked.clear()
        with dspy.context(lm=lm):
            swept = _time(anytime, number)
        requests = list(engine.asked)
        begun = time.process_time()
        for request in requests:
            lm(request)
        by_hand = time.process_time() - begun
        with dspy.context(lm=instant):
            bare = sum(_time(program, number) for _ in requests)
        taken.append((by_hand, bare, swept))
    return taken[WARM_UP // 2 :]


def _threads(program: Callable[..., Any]) -> float:
    begun = time.process_time()
    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(copy_context().run, program, question=_asked(n)) for n in range(AT_ONCE)]:
            future.result()
    return time.process_time() - begun


def _tasks(program: Callable[..., Any]) -> float:
    async def all_of_them() -> None:
        await asyncio.gather(*(program(question=_asked(n)) for n in range(AT_ONCE)))

    begun = time.process_time()
    asyncio.run(all_of_them())
    return time.process_time() - begun


def _time_outside(program: Callable[..., Any], number: int) -> float:
    with dspy.context(adapter=dspy.ChatAdapter()):
        return _time(program, number)


def _time(program: Callable[..., Any], number: int) -> float:
    question = _asked(number)
    begun = time.process_time()
    program(question=question)
    return time.process_time() - begun


def _asked(number: int) -> str:
    return QUESTION.format(number)
