"""How long merging a million lines takes, and in how much memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from anytime_dspy.checkpoint import ScoredCheckpoint, Usage
from anytime_dspy.storage.results import ExampleResult
from anytime_dspy.storage.run_folder import PLACES, RESULTS, RunStore
from anytime_dspy.storage.seal import Seal
from anytime_dspy.storage.shards import Shard

SHARDS = 8
SIZES = (10_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class Merging:
    """What was measured, each merge in a process of its own; one number for each of `lines`.

    Attributes:
        lines: Lines of all shards together.
        shards: How many there were.
        line_bytes: Of one line, two budgets and a short trace.
        seconds: Wall time of the merge.
        megabytes: Peak memory of its process.
    """

    lines: tuple[int, ...]
    shards: int
    line_bytes: int
    seconds: tuple[float, ...]
    megabytes: tuple[float, ...]


def measure(sizes: tuple[int, ...] = SIZES) -> Merging:
    """Makes shards of each size and merges them."""
    took, size = [], 0
    for lines in sizes:
        with tempfile.TemporaryDirectory() as folder:
            size = _make(Path(folder), lines)
            ran = subprocess.run([sys.executable, __file__, folder], capture_output=True, text=True, check=True)
            took.append(json.loads(ran.stdout))
    seconds, megabytes = (tuple(round(one[name], 1) for one in took) for name in ("seconds", "megabytes"))
    return Merging(sizes, SHARDS, size, seconds, megabytes)


def _make(folder: Path, lines: int) -> int:
    """Writes shards as sweeps leave them; returns the size of a line."""
    names = [str(number) for number in range(lines)]
    written = 0
    for index in range(1, SHARDS + 1):
        shard = Shard(index, SHARDS)
        store = RunStore.open(folder / f"shard-{index}", {"task": "made"}, shard.of(names))
        seal = Seal(store.path, store.fingerprint)
        with (store.path / RESULTS).open("w") as results, (store.path / PLACES).open("w") as places:
            for place, name in enumerate(names):
                if shard.takes(name):
                    written += results.write(seal.line(_result(name)))
                    places.write(f"{place}\n")
    return written // lines


def _result(name: str) -> ExampleResult:
    usage = Usage(200, 16, 8, 0, 2, 0.5, 0.001)
    points = tuple(
        ScoredCheckpoint(budget, {"answer": name}, 16, 8, True, True, usage, quality=0.5) for budget in (16, 32)
    )
    return ExampleResult(name, {"question": f"What is number {name}?"}, points, ({"reasoning": "step " * 32},))


def _merge(folder: Path) -> None:
    from anytime_dspy.storage.merging import merge

    begun = time.perf_counter()
    merge(folder / "merged", sorted(folder.glob("shard-*")))
    # Not ru_maxrss, which begins with that of the process that started this one.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    peak = int(status["VmHWM"].split()[0]) / 1024
    print(json.dumps({"seconds": time.perf_counter() - begun, "megabytes": peak}))


if __name__ == "__main__":
    _merge(Path(sys.argv[1]))
