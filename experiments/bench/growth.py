"""How time and memory grow with the number of examples: sweep, report, compare and compile on a simulated engine."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import dspy
from dspy.lm15 import Message, Request, Response, Usage
from overhead import WordCounter

import anytime_dspy as ad
from anytime_dspy.measure import sweep
from anytime_dspy.optimizers import PDP
from anytime_dspy.report.overview import overview
from anytime_dspy.report.page import write_page
from anytime_dspy.storage.run_folder import RunStore
from anytime_dspy.storage.runs import read_runs

SIZES = (100, 1000, 10_000)
BUDGETS = (8, 16, 32)


@dataclass(frozen=True)
class Growth:
    """What was measured, each step in a process of its own; one number for each of `sizes`.

    Attributes:
        sizes: Examples.
        seconds: Wall time of each step.
        megabytes: Peak memory of each step's process.
        page_megabytes: Size of the report's page.
    """

    sizes: tuple[int, ...]
    seconds: dict[str, list[float]]
    megabytes: dict[str, list[float]]
    page_megabytes: list[float]


class SteadyEngine:
    """Reasons for as many words as the question's number says, and is right where it got to the end."""

    counter = WordCounter()
    can_continue = True
    supported_params = frozenset({"max_tokens", "temperature", "seed"})

    def complete(self, request: Request) -> Response:
        """Returns the reply, cut off at the cap."""
        asked = next(message.text or "" for message in reversed(request.messages) if message.role == "user")
        number = int(asked.split("number ")[1].split()[0])
        length = 4 + (7 * number + (request.config.seed or 0)) % 48
        last = request.messages[-1]
        if last.role == "assistant":
            text = str(number) if f"step{length - 1}" in (last.text or "") else "unknown"
        else:
            reasoning = " ".join(f"step{step}" for step in range(length))
            text = f"[[ ## reasoning ## ]]\n{reasoning}\n\n[[ ## answer ## ]]\n{number}\n\n[[ ## completed ## ]]"
        cap = request.config.max_tokens or 10**9
        written = self.counter.cut(text, cap)
        cut = self.counter.count(text) >= cap
        usage = Usage(input_tokens=100, output_tokens=self.counter.count(written))
        return Response(None, request.model, Message.assistant(written), "length" if cut else "stop", usage)


def measure(sizes: tuple[int, ...] = SIZES) -> Growth:
    """Runs every step at every size."""
    steps = ("sweep", "report", "compare", "compile")
    seconds: dict[str, list[float]] = {step: [] for step in steps}
    megabytes: dict[str, list[float]] = {step: [] for step in steps}
    pages = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            for step in steps:
                ran = subprocess.run(
                    [sys.executable, __file__, step, str(size), folder], capture_output=True, text=True, check=True
                )
                took = json.loads(ran.stdout.splitlines()[-1])
                seconds[step].append(took["seconds"])
                megabytes[step].append(took["megabytes"])
            pages.append((Path(folder) / "report.html").stat().st_size / 1e6)
    return Growth(sizes, seconds, megabytes, pages)


def _examples(size: int) -> list[dspy.Example]:
    return [
        dspy.Example(id=str(n), question=f"What is number {n} ?", answer=str(n)).with_inputs("question")
        for n in range(size)
    ]


def _right(example: dspy.Example, prediction: dspy.Prediction) -> float:
    return float(example.answer == prediction.answer)


def _step(step: str, size: int, folder: Path) -> None:
    lm = dspy.LM("bench/steady", engine=SteadyEngine(), cache=False)
    anytime = ad.Anytime(dspy.ChainOfThought("question -> answer"), BUDGETS)
    metric = ad.AnytimeIndex(_right)
    begun = time.perf_counter()
    if step == "sweep":
        with dspy.context(lm=lm):
            for run in ("one", "two"):
                described = {"task": "steady", "budgets": list(BUDGETS), "model": "steady", "run": run}
                begun = time.perf_counter()  # the second one is what counts; the comparison needs two
                sweep(anytime, _examples(size), metric, store=RunStore.open(folder / run, described))
    elif step == "report":
        write_page(folder / "report.html", overview(read_runs([folder / "one"])))
    elif step == "compare":
        write_page(folder / "compare.html", overview(read_runs([folder / "one", folder / "two"])))
    else:
        with dspy.context(lm=lm):
            PDP(metric, samples=2, judge="agreement", trials=0, log_dir=folder / "compile").compile(
                anytime, trainset=_examples(size)
            )
    took = time.perf_counter() - begun
    print(json.dumps({"seconds": took, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    _step(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
