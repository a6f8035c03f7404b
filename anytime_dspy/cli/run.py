"""`anytime-dspy run`: one answer from a saved program, under a budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from anytime_dspy.cli.options import DEFAULT_MODEL, Effort, Json, ModelName, Temperature

EXAMPLE = (
    'Example: [cyan]anytime-dspy run runs/demo/program.json --budget 64 "Tom has 3 bags of 4 nuts. How many?"[/cyan]'
)


def run(
    program: Annotated[Path, typer.Argument(help="A program.json that compile or demo saved.")],
    text: Annotated[str | None, typer.Argument(help="The value of the program's only input field.")] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            "--budget", metavar="TOKENS", help="Of reasoning; by default the largest that was saved with the program."
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="FIELD=VALUE", help="For a program of several input fields. May be repeated."),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", metavar="TASK", help="The program's task, where the file does not say it.")
    ] = None,
    model: ModelName = DEFAULT_MODEL,
    temperature: Temperature = None,
    reasoning_effort: Effort = None,
    as_json: Json = False,
) -> None:
    """Answers one question with a saved program, under a cap on its reasoning."""
    import dspy
    from rich.console import Console

    from anytime_dspy.answers import is_answered
    from anytime_dspy.anytime import Anytime
    from anytime_dspy.cli.options import open_lm
    from anytime_dspy.cli.tasks import anytime_program
    from anytime_dspy.errors import DataError
    from anytime_dspy.programs import get_task, task_names
    from anytime_dspy.programs.saved import task_of
    from anytime_dspy.runtime.context import budget as capped

    name = task or task_of(program)
    if name is None:
        raise DataError(f"{program} does not say which task it is for: name it with --task")
    if task is None and name not in task_names():  # a file's path is not saved, since loading it would run that file
        raise DataError(f"{program} is for the task {name}, which is not installed: give its file, --task {name}.py")
    anytime: Anytime = anytime_program(get_task(name), None, program)
    values = _values(list(anytime.predictors()[0].signature.input_fields), text, inputs or [])
    lm = open_lm(model, threads=1, temperature=temperature, reasoning_effort=reasoning_effort)
    tokens = anytime.budgets[-1] if budget is None else budget
    with dspy.context(lm=lm), capped(tokens, answer_tokens=anytime.answer_tokens) as spent:
        prediction = anytime.program(**values)
    answered = is_answered(prediction, spent.calls)
    if as_json:
        usage = {"reasoning_tokens": spent.reasoning, "answer_tokens": spent.usage.answer_tokens}
        told = {"forced": spent.forced, "answered": answered, "censored": spent.censored}
        # The program's own fields come last, so that an output of the same name is not lost.
        document = {"budget": tokens, **told, **usage, **dict(prediction.items())}
        print(json.dumps(document, default=str))  # noqa: T201 - the result, alone on stdout
        return
    console = Console(highlight=False)
    for field, value in prediction.items():
        console.print(f"[bold]{field}[/bold]")
        console.print(str(value), markup=False)
    cut = ", cut off there" if spent.exhausted else ""
    if spent.censored:
        console.print(f"The answer was cut off at its allowance of {anytime.answer_tokens} tokens.", style="yellow")
    elif not answered:
        console.print("No answer could be read.", style="yellow")
    console.print(f"\n{spent.reasoning} of {tokens} reasoning tokens{cut}; {spent.usage.seconds:.1f} s", style="dim")


def _values(fields: list[str], text: str | None, pairs: list[str]) -> dict[str, str]:
    from anytime_dspy.errors import DataError

    values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    if text is not None and len(fields) == 1:
        values[fields[0]] = text
    if len(values) < len(pairs) or set(values) != set(fields):
        wanted = " ".join(f"--input {field}=..." for field in fields)
        raise DataError(f"the program takes the inputs {', '.join(fields)}: give {wanted}")
    return values
