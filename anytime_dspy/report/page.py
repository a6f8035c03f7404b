"""The report page: one HTML file without network access or scripts."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from anytime_dspy.report.compile_view import CompileView
from anytime_dspy.report.examples import fields, items
from anytime_dspy.report.overview import Overview
from anytime_dspy.report.plots import Series
from anytime_dspy.report.svg_chart import HEIGHT, WIDTH, chart
from anytime_dspy.storage.jsonl import write_text

__all__ = ["render_page", "write_page"]


def write_page(path: Path, found: Overview, compiled: Sequence[CompileView] = ()) -> None:
    """Writes the page of a report.

    Args:
        path: The file.
        found: The runs and their comparison.
        compiled: The compiles that they belong to, if any.

    Raises:
        RunError: It cannot be written.
    """
    write_text(path, render_page(found, compiled))


def render_page(found: Overview, compiled: Sequence[CompileView] = ()) -> str:
    """Returns the page of a report; arguments as for `write_page`.

    All texts are escaped, since those of models and data sets are not trusted. The page forbids scripts.
    """
    beside = files(__package__)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(beside.joinpath("page.html.j2").read_text(encoding="utf-8"))
    series = [Series.of(*row) for row in found.rows]
    return template.render(
        title=_title(found),
        style=beside.joinpath("page.css").read_text(encoding="utf-8"),
        charts=[chart(series, "linear"), chart(series, "log")],
        width=WIDTH,
        height=HEIGHT,
        found=found,
        grids=found.grids(),
        items=items(found.runs),
        origins=[(run.label, fields({**run.fingerprint, **run.created})) for run in found.runs],
        compiles=compiled,
    )


def _title(found: Overview) -> str:
    def named(key: str) -> str:
        values: dict[Any, None] = dict.fromkeys(run.fingerprint.get(key) or "unknown" for run in found.runs)
        return ", ".join(map(str, values))

    return f"{named('task')} on {named('model')}"
