"""How many examples a second get through with 1, 2 and 4 shards or Ray actors, and the CPU time that they take."""

from __future__ import annotations

import os
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
EACH = {4: 60, 32: 160}


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
        shards_cpu: CPU seconds an example with 32 at a time, in the shards; it varies less with what else is running.
        actors_cpu: The same in the actors; what the process that sends to them takes is not in it.
    """

    counts: tuple[int, ...]
    latency: float
    shards_4: tuple[float, ...]
    actors_4: tuple[float, ...]
    shards_32: tuple[float, ...]
    actors_32: tuple[float, ...]
    shards_cpu: tuple[float, ...]
    actors_cpu: tuple[float, ...]


@dataclass(frozen=True)
class _Rate:
    per_second: float
    cpu: float


@dataclass(frozen=True)
class _Noting:
    """A quality function that notes in which process it is called, and the CPU time which that has taken.

    It returns once so many processes are at work: actors start one after the other, and the first would do it all.
    """

    folder: Path
    workers: int = 1

    def __call__(self, example: dspy.Example, prediction: dspy.Prediction) -> float:
        with (self.folder / str(os.getpid())).open("a") as file:
            print(time.process_time(), file=file)
        while len(os.listdir(self.folder)) < self.workers:
            time.sleep(0.05)
        return is_right(example, prediction)

    def seconds(self, examples: int) -> float:
        """Returns the CPU seconds an example, between the first and the last note of each process."""
        notes = [[float(line) for line in path.read_text().splitlines()] for path in self.folder.iterdir()]
        between = sum(len(each) - 1 for each in notes)
        return sum(max(each) - min(each) for each in notes) / between * sum(map(len, notes)) / examples


def measure() -> Scaling:
    """Measures all settings."""
    import ray

    ray.init(address="local", num_cpus=max(COUNTS), include_dashboard=False, object_store_memory=100_000_000)
    with server(LATENCY) as port:
        rates = {
            (kind, threads): [way(port, count, threads) for count in COUNTS]
            for threads in EACH
            for kind, way in (("shards", _shards), ("actors", _actors))
        }
    ray.shutdown()
    settings = [(kind, threads) for threads in EACH for kind in ("shards", "actors")]
    return Scaling(
        COUNTS,
        LATENCY,
        *(tuple(round(rate.per_second, 1) for rate in rates[setting]) for setting in settings),
        *(tuple(round(rate.cpu, 4) for rate in rates[setting]) for setting in settings[2:]),
    )


def _actors(port: int, count: int, threads: int) -> _Rate:
    with tempfile.TemporaryDirectory() as folder:
        noting = _Noting(_made(folder, "cpu"), count)
        store = RunStore.open(Path(folder) / "run", {"bench": "actors"})
        ended = _ends(port, EACH[threads] * count, noting, store, threads, RayExecutor(actors=count))
        return _rate(ended, noting)


def _shards(port: int, count: int, threads: int) -> _Rate:
    """The rate of all shards together, each a process; they begin at once."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        noting = _Noting(_made(folder, "cpu"))
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
        return _rate(ended, noting)


def _rate(ended: list[float], noting: _Noting) -> _Rate:
    """Examples a second in the second half, when all have begun."""
    ended = sorted(ended)
    half = len(ended) // 2
    return _Rate((len(ended) - half) / (ended[-1] - ended[half - 1]), noting.seconds(len(ended)))


def _made(*names: str | Path) -> Path:
    folder = Path(*names)
    folder.mkdir()
    return folder


def _ends(port: int, count: int, noting: _Noting, store: RunStore, threads: int, executor: Any = None) -> list[float]:
    """When each example ended."""
    ended: list[float] = []
    metric = ad.AnytimeIndex(noting)
    program = ad.Anytime(dspy.ChainOfThought("question -> answer"), BUDGETS)
    noted: Callable[[Any], None] = lambda _: ended.append(time.time())  # noqa: E731
    with dspy.context(lm=lm_at(port)):
        sweep(program, examples(count), metric, store=store, threads=threads, executor=executor, on_result=noted)
    return ended


def _shard(folder: Path, text: str, port: int, threads: int) -> None:
    shard = Shard.parse(text)
    count = EACH[threads] * shard.count
    warm = RunStore.open(folder / f"warm-{shard.index}", {"bench": "warm"})
    _ends(port, 2, _Noting(_made(folder, f"cpu-{shard.index}")), warm, threads)
    store = RunStore.open(folder / str(shard.index), {"bench": "shards"}, shard.of([str(n) for n in range(count)]))
    print("ready", flush=True)
    sys.stdin.readline()
    print(*_ends(port, count, _Noting(folder / "cpu"), store, threads))


if __name__ == "__main__":
    _shard(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
