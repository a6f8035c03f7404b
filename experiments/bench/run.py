"""Runs the benchmarks and keeps one JSON file for each; `make bench` runs the two of cost."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import concurrency
import engines
import growth
import injection
import judges
import merging
import overhead
import scaling
import sweep_cost
import sweep_equals_live

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Runs what was asked for and prints it."""
    parser = argparse.ArgumentParser(description=__doc__)
    others = (
        "judges",
        "injection",
        "engines",
        "concurrency",
        "growth",
        "merging",
        "scaling",
        *sweep_equals_live.PROGRAMS,
    )
    parser.add_argument("--only", choices=("overhead", "sweep", *others), help="run this one")
    parser.add_argument("--model", default="smollm2-135m-instruct", help="an embedded model, by name or path")
    parser.add_argument("--examples", type=int, default=6, help="word problems to measure on")
    parser.add_argument("--seconds", type=float, default=math.inf, help="where a sweep meets live runs: begin no more")
    options = parser.parse_args()
    model = Path(options.model).name.removesuffix(".gguf")
    if options.only in (None, "overhead"):
        keep("overhead", overhead.measure())
    if options.only in (None, "sweep"):
        keep(f"sweep_cost_{model}", sweep_cost.measure(options.model, options.examples))
    if options.only == "judges":
        keep(f"judges_{model}", judges.measure(options.model, options.examples))
    if options.only == "injection":
        keep(f"injection_{model}", injection.measure(options.model))
    if options.only == "engines":
        keep(f"engines_{model}", engines.measure(options.model))
    if options.only == "concurrency":
        keep("concurrency", concurrency.measure())
    if options.only == "growth":
        keep("growth", growth.measure())
    if options.only == "merging":
        keep("merging", merging.measure())
    if options.only == "scaling":
        keep("scaling", scaling.measure())
    if options.only in sweep_equals_live.PROGRAMS:
        result = sweep_equals_live.measure(options.model, options.only, options.examples, options.seconds)
        keep(f"sweep_equals_live_{options.only}_{model}", result)


def keep(name: str, result: Any) -> None:
    """Writes a result with what it was measured on, and prints it."""
    machine = {
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "dspy": version("dspy"),
        "xllamacpp": version("xllamacpp"),
        "load": round(os.getloadavg()[0], 1),
    }
    rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(result).items()}
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"benchmark": name, **rounded, "measured_on": machine}, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
