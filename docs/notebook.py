"""Runs the tutorial's cells in order, and shows it as a page: `python -m docs.notebook` writes its outputs anew.

A notebook is JSON, and these cells are plain Python: no kernel is needed.
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

TUTORIAL = Path(__file__).parent / "tutorial.ipynb"


def cells(path: Path) -> list[dict[str, Any]]:
    """Returns the cells of a notebook."""
    found: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return found


def run(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Runs the code cells of a notebook in one namespace.

    Returns:
        The namespace, and what each code cell printed.
    """
    space: dict[str, Any] = {"__name__": "__main__"}
    printed = []
    for number, cell in enumerate(cell for cell in cells(path) if cell["cell_type"] == "code"):
        code = compile("".join(cell["source"]), f"{path.name}, cell {number + 1}", "exec")
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(code, space)
        printed.append(out.getvalue())
    return space, printed


def with_outputs(path: Path, printed: list[str]) -> str:
    """Returns a notebook's text with these outputs of its code cells."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, (cell, text) in enumerate(zip(code, printed, strict=True), start=1):
        cell["execution_count"] = number
        stream = {"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}
        cell["outputs"] = [stream] if text else []
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def as_markdown(path: Path) -> str:
    """Returns a notebook as Markdown, each code cell with what it printed."""
    parts = []
    for cell in cells(path):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        printed = "".join(line for output in cell["outputs"] for line in output["text"]).rstrip()
        if printed:
            parts.append(f"```{{.text .printed}}\n{printed}\n```")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    TUTORIAL.write_text(with_outputs(TUTORIAL, run(TUTORIAL)[1]), encoding="utf-8")
