"""`anytime-dspy pairs`: what a compile learned from, for training a model on it."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

EXPORT_EXAMPLE = "Example: [cyan]anytime-dspy pairs export runs/trip-pdp --format trl --out dpo.jsonl[/cyan]"

app = typer.Typer(
    help="Preference pairs: what a compile learned from.",
    epilog=EXPORT_EXAMPLE,
    no_args_is_help=True,
    rich_markup_mode="rich",
)


class Format(str, Enum):
    """Who is to read the pairs."""

    TRL = "trl"


@app.command(epilog=EXPORT_EXAMPLE)
def export(
    source: Annotated[Path, typer.Argument(metavar="FOLDER_OR_FILE", help="A compile's folder, or its pairs.jsonl.")],
    form: Annotated[Format, typer.Option("--format", help="trl: what TRL's DPOTrainer reads.")] = Format.TRL,
    out: Annotated[Path | None, typer.Option("--out", help="The file to write; by default stdout.")] = None,
    squeezed: Annotated[bool, typer.Option(help="Write pairs of squeezed traces and their originals too.")] = True,
) -> None:
    """Writes pairs as JSON Lines of prompt, chosen and rejected messages, to train a model on with DPO."""
    from anytime_dspy.cli.options import stderr
    from anytime_dspy.optimizers.pairs.export import trl_rows
    from anytime_dspy.optimizers.pairs.pair import read_pairs
    from anytime_dspy.storage.jsonl import json_line, write_lines

    pairs = read_pairs(source / "pairs.jsonl" if source.is_dir() else source)
    rows = trl_rows(pairs, squeezed=squeezed)
    if out is None:
        typer.echo("".join(map(json_line, rows)), nl=False)
    else:
        write_lines(out, rows)
        stderr.print(f"{len(rows)} pairs for {form.value} are in {out}", highlight=False, markup=False, soft_wrap=True)
