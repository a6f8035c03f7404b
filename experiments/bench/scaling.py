"""How many examples a second get through with 1, 2 and 4 shards, and with as many Ray actors."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
from loopback import examples, is_right, lm_at, server

import anytime_dspy as ad
from anytime_dspy.measure import sweep
from anytime_dspy.ray_executor import RayExecutor
from anytime_dspy.storage.run_folder import RunStore
from anytime_dspy.storage.shards import Shard

BUDGETS = (16, 32, 64, 128)
LATENCY = 0.05
COUNTS = (1, 2, 4)
EACH = {4: 100, 32: 300}


@dataclass(frozen=True)
class Scaling:
    """Examples a second against a loopback server in a process of its own, once all shards or actors are at work.

    One number for each of `counts`; an example is five calls, one after the other.

    Attributes:
        counts: Shards, or actors.
        latency: Seconds that the server waits before each reply.
        shards_4: With 4 examples at a time in each shard: the server's latency is the limit.
        actors_4: The same for Ray actors.
        shards_32: With 32 at a time: the CPUs are the limit.
        actors_32: The same for Ray actors.
    """

    counts: tuple[int, ...]
    latency: float
    shards_4: tuple[float, ...]
    actors_4: tuple[float, ...]
    shards_32: tuple[float, ...]
    actors_32: tuple[float, ...]


def measure() -> Scaling:
    """Measures all settings."""
    import ray

    ray.init(address="local", num_cpus=max(COUNTS), include_dashboard=False, object_store_memory=100_000_000)
    with server(LATENCY) as port:
        rates = {
            (kind, threads): tuple(round(way(port, count, threads), 1) for count in COUNTS)
            for threads in EACH
            for kind, way in (("shards", _shards), ("actors", _actors))
        }
    ray.shutdown()
    return Scaling(COUNTS, LATENCY, *(rates[kind, threads] for threads in EACH for kind in ("shards", "actors")))


def _actors(port: int, count: int, threads: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore.open(Path(folder) / "run", {"bench": "actors"})
        ended = _ends(port, EACH[threads] * count, store, threads, RayExecutor(actors=count))
    return _rate(ended)


def _shards(port: int, count: int, threads: int) -> float:
    """The rate of all shards together, each a process; they begin at once."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, __file__, folder, str(Shard(index, count)), str(port), str(threads)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for index in range(1, count + 1)
        ]
        assert all(process.stdout and process.stdout.readline() == "ready\n" for process in processes)
        for process in processes:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        ended = [float(time) for process in processes if process.stdout for time in process.stdout.read().split()]
    return _rate(ended)


def _rate(ended: list[float]) -> float:
    """Examples a second in the second half, when all have begun."""
    ended = sorted(ended)
    half = len(ended) // 2
    return (len(ended) - half) / (ended[-1] - ended[half - 1])


def _ends(port: int, count: int, store: RunStore, threads: int, executor: Any = None) -> list[float]:
    """When each example ended."""
    ended: list[float] = []
    metric = ad.AnytimeIndex(is_right)
    program = ad.Anytime(dspy.ChainOfThought("question -> answer"), BUDGETS)
    noted: Callable[[Any], None] = lambda _: ended.append(time.time())  # noqa: E731
    with dspy.context(lm=lm_at(port)):
        sweep(program, examples(count), metric, store=store, threads=threads, executor=executor, on_result=noted)
    return ended


def _shard(folder: Path, text: str, port: int, threads: int) -> None:
    shard = Shard.parse(text)
    count = EACH[threads] * shard.count
    warm = RunStore.open(folder / f"warm-{shard.index}", {"bench": "warm"})
    _ends(port, 2, warm, threads)
    store = RunStore.open(folder / str(shard.index), {"bench": "shards"}, shard.of([str(n) for n in range(count)]))
    print("ready", flush=True)
    sys.stdin.readline()
    print(*_ends(port, count, store, threads))


if __name__ == "__main__":
    _shard(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
