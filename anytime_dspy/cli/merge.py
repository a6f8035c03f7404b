"""`anytime-dspy merge`: the shards of a sweep, put together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from anytime_dspy.cli.options import Json

EXAMPLE = "Example: [cyan]anytime-dspy merge runs/trip runs/trip-1 runs/trip-2 runs/trip-3 runs/trip-4[/cyan]"


def merge(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")],
    shards: Annotated[list[Path], typer.Argument(metavar="SHARD...", help="The folders of all shards, in any order.")],
    as_json: Json = False,
) -> None:
    """Puts the shards of a sweep together: OUT is then what one sweep without --shard would have written."""
    from anytime_dspy.cli.options import progress
    from anytime_dspy.storage import merging
    from anytime_dspy.storage.jsonl import json_line

    examples = merging.check_shards(shards).examples
    with progress("Merging", examples) as advance:
        merging.merge(out, shards, advance)
    if as_json:
        typer.echo(json_line({"folder": out, "examples": examples, "shards": len(shards)}), nl=False)
    else:
        typer.echo(f"{examples} examples of {len(shards)} shards are in {out}")
        typer.echo(f"Its figures: anytime-dspy report {out}, or the command of the sweep with --out {out}")
