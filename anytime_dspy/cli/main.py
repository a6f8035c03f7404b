"""The `anytime-dspy` command: its verbs, and the one place where errors become a line and an exit code."""

from __future__ import annotations

import logging
import os
import sys

import typer

from anytime_dspy.errors import AnytimeError

app = typer.Typer(
    name="anytime-dspy",
    help="Any DSPy program, the best answer it can give at any token budget: measured, and compiled for it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

USAGE_ERROR = 2
INTERRUPTED = 130


def _register() -> None:
    from anytime_dspy.cli import compare, compile, demo, doctor, merge, models, pairs, report, run, sweep

    app.command(epilog=demo.EXAMPLE)(demo.demo)
    app.command(epilog=sweep.EXAMPLE)(sweep.sweep)
    app.command(epilog=merge.EXAMPLE)(merge.merge)
    app.command(epilog=compile.EXAMPLE, name="compile")(compile.compile_task)
    app.command(epilog=compare.EXAMPLE)(compare.compare)
    app.command(epilog=report.EXAMPLE)(report.report)
    app.command(epilog=run.EXAMPLE)(run.run)
    app.add_typer(models.app, name="models")
    app.add_typer(pairs.app, name="pairs")
    app.command(epilog=doctor.EXAMPLE)(doctor.doctor)


def main() -> None:
    """Runs the command line; a user's error is one line on stderr and exit code 2."""
    for name in ("anytime_dspy", "dspy", "LiteLLM"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # What a model refuses, and what is done instead, changes what the result means.
    notes = logging.getLogger("anytime_dspy.calls.acceptance")
    notes.setLevel(logging.WARNING)
    notes.addHandler(_Notes())
    notes.propagate = False
    _register()
    try:
        app()
    except AnytimeError as error:
        _leave(" ".join(str(error).split()), USAGE_ERROR)
    except Exception as error:
        import dspy

        if not isinstance(error, dspy.LMError):
            raise
        _leave(f"The LM failed: {' '.join(str(error).split())}", USAGE_ERROR)
    except KeyboardInterrupt:
        _leave("Stopped. What was done is kept: the same command with the same --out goes on from there.", INTERRUPTED)


class _Notes(logging.Handler):
    """Shows a note for the eye, above a progress bar if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"Note: {record.getMessage()}\n")


def _leave(message: str, code: int) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"{message}\n" if code == INTERRUPTED else f"Error: {message}\n")
    sys.stderr.flush()
    # Threads in the middle of an LM call would keep the process for as long as the call takes.
    os._exit(code)
