"""`anytime-dspy compare`: several runs on the same examples, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anytime_dspy.cli.options import Json, Seed
from anytime_dspy.cli.show import Outputs, Target, present

EXAMPLE = "Example: [cyan]anytime-dspy compare runs/plain runs/leap runs/pdp --out compared.html[/cyan]"


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs; the others are compared with the first.")],
    out: Outputs = None,
    target: Target = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Compares runs of one task on the same examples: paired differences, intervals and tests; writes compare.html."""
    present(runs, out or [Path("compare.html")], target=target, seed=seed, as_json=as_json, at_least=2)
