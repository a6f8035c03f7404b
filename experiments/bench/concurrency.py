"""How many calls a second get through at 64 in flight: bare `lm()`, bare `dspy.Predict`, and sweeps."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import dspy
from loopback import examples, is_right, lm_at, server

import anytime_dspy as ad
from anytime_dspy.measure import sweep

BUDGETS = (16, 32, 64, 128)
LATENCY = 0.05
IN_FLIGHT = 64


@dataclass(frozen=True)
class Concurrency:
    """What was measured against a loopback server in a process of its own; the three ways one after the other.

    Attributes:
        sweeps: Examples swept.
        calls: LM calls that they made.
        latency: Seconds that the server waits before each reply.
        in_flight: Threads.
        lm_calls_per_second: Of bare `lm(messages=...)`.
        predict_calls_per_second: Of a bare dspy.ChainOfThought.
        sweep_calls_per_second: Of `sweep`.
        over_lm: Sweep over bare lm.
        over_predict: Sweep over bare Predict.
        lm_cpu_milliseconds: CPU time of this process a call.
        predict_cpu_milliseconds: The same for Predict.
        sweep_cpu_milliseconds: The same for the sweep.
        megabytes_at_half: Peak memory after half of the sweeps.
        megabytes: Peak memory after all of them.
    """

    sweeps: int
    calls: int
    latency: float
    in_flight: int
    lm_calls_per_second: float
    predict_calls_per_second: float
    sweep_calls_per_second: float
    over_lm: float
    over_predict: float
    lm_cpu_milliseconds: float
    predict_cpu_milliseconds: float
    sweep_cpu_milliseconds: float
    megabytes_at_half: float
    megabytes: float


@dataclass(frozen=True)
class _Rate:
    calls: int
    seconds: float
    cpu: float

    @property
    def per_second(self) -> float:
        return self.calls / self.seconds

    @property
    def milliseconds(self) -> float:
        return 1000 * self.cpu / self.calls


def measure(sweeps: int = 1000) -> Concurrency:
    """Measures all three."""
    program = dspy.ChainOfThought("question -> answer")
    anytime = ad.Anytime(program, BUDGETS)
    metric = ad.AnytimeIndex(is_right)
    asked_once = examples(sweeps)
    questions = [example.question for example in asked_once]
    with server(LATENCY) as port:
        lm = lm_at(port)
        with dspy.context(lm=lm):
            asked = dspy.ChatAdapter().format(program.predict.signature, [], {"question": questions[0]})
            sweep(anytime, asked_once[:IN_FLIGHT], metric, threads=IN_FLIGHT)  # loads what is loaded late
            bare = _rate(lambda _: lm(messages=asked), questions)
            predict = _rate(lambda question: program(question=question), questions)
            half: list[float] = []
            done, made = 0, 0

            def on_result(result: Any) -> None:
                nonlocal done, made
                done += 1
                made += len({point.budget for point in result.points if point.forced}) + 1
                if done == sweeps // 2:
                    half.append(_megabytes())

            cpu, begun = time.process_time(), time.perf_counter()
            sweep(anytime, asked_once, metric, threads=IN_FLIGHT, on_result=on_result)
            swept = _Rate(made, time.perf_counter() - begun, time.process_time() - cpu)
    return Concurrency(
        sweeps=sweeps,
        calls=made,
        latency=LATENCY,
        in_flight=IN_FLIGHT,
        lm_calls_per_second=bare.per_second,
        predict_calls_per_second=predict.per_second,
        sweep_calls_per_second=swept.per_second,
        over_lm=swept.per_second / bare.per_second,
        over_predict=swept.per_second / predict.per_second,
        lm_cpu_milliseconds=bare.milliseconds,
        predict_cpu_milliseconds=predict.milliseconds,
        sweep_cpu_milliseconds=swept.milliseconds,
        megabytes_at_half=half[0],
        megabytes=_megabytes(),
    )


def _rate(call: Callable[[str], Any], questions: list[str]) -> _Rate:
    cpu, begun = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        for future in [pool.submit(copy_context().run, call, question) for question in questions]:
            future.result()
    return _Rate(len(questions), time.perf_counter() - begun, time.process_time() - cpu)


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
