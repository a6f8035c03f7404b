"""`anytime-dspy report`: one run, as tables and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anytime_dspy.cli.options import Json, Seed
from anytime_dspy.cli.show import Outputs, Target, present

EXAMPLE = "Example: [cyan]anytime-dspy report runs/words --out words.html --out words.svg --out words.parquet[/cyan]"


def report(
    run: Annotated[Path, typer.Argument(help="The folder of a sweep, a compile or a demo.")],
    out: Outputs = None,
    target: Target = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Shows a run: its curve, what it cost, and every example; writes RUN/report.html unless --out says otherwise."""
    present([run], out or [run / "report.html"], target=target, seed=seed, as_json=as_json)
