"""`anytime-dspy models`: the embedded models, and fetching them."""

from __future__ import annotations

import json

import typer

from anytime_dspy.cli.options import EmbeddedName, Json

app = typer.Typer(
    help="The embedded models: list them, fetch them.",
    invoke_without_command=True,
    no_args_is_help=False,
)


@app.callback(epilog="Example: [cyan]anytime-dspy models pull qwen2.5-coder-0.5b-instruct[/cyan]")
def models(context: typer.Context, as_json: Json = False) -> None:
    """Lists the embedded models and whether they are here."""
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console
    from rich.table import Table

    from anytime_dspy.local import MODELS, installed, models_folder

    if as_json:
        rows = [
            {"name": m.name, "bytes": m.bytes, "licence": m.licence, "installed": installed(m.name)}
            for m in MODELS.values()
        ]
        print(json.dumps({"folder": str(models_folder()), "models": rows}))  # noqa: T201 - the result, alone on stdout
        return
    table = Table("Model", "Size", "Licence", "Here", box=None)
    for model in MODELS.values():
        table.add_row(
            model.name, f"{model.bytes / 1e6:,.0f} MB", model.licence, "yes" if installed(model.name) else "no"
        )
    console = Console()
    console.print(table)
    console.print(f"\nKept in {models_folder()}", highlight=False, markup=False, soft_wrap=True)


@app.command(epilog="Example: [cyan]anytime-dspy models pull smollm2-135m-instruct[/cyan]")
def pull(name: EmbeddedName) -> None:
    """Fetches a model once into the user's cache folder; a pull that was cut off goes on."""
    from rich.console import Console

    from anytime_dspy.cli.options import pull_with_progress

    Console().print(str(pull_with_progress(name)), highlight=False, markup=False, soft_wrap=True)
