"""The tutorial's notebook, run from top to bottom."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

import anytime_dspy as ad
from anytime_dspy.local import installed
from anytime_dspy.testing import scripted_lm
from docs.notebook import TUTORIAL, as_markdown, cells, run
from tests.fakes.clerk import clerk

MODEL = "smollm2-135m-instruct"


def holds(space: dict[str, Any]) -> None:
    """What the notebook says of its own steps, whatever the model answered."""
    assert space["spent"].reasoning <= 16
    assert [checkpoint.budget for checkpoint in space["anytime"](ticket=space["ticket"]).checkpoints] == [4, 12, 32]
    assert len(space["plain"]) == len(space["after"]) == space["difference"].n == 6
    assert space["loaded"].budgets == (4, 12, 32)
    assert space["service"].state.budgets == (12,)
    demos = [len(space[name].predictors()[0].demos) for name in ("compiled", "loaded", "bare")]
    assert len(set(demos)) == 1


@pytest.mark.slow
def test_the_tutorial_runs_at_a_model_that_is_right_when_it_may_finish(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ad, "local_lm", lambda name, **options: scripted_lm(clerk, **options))
    monkeypatch.setattr(sys.modules["anytime_dspy.local.pull"], "pull", lambda name: tmp_path / name)
    space, printed = run(TUTORIAL)
    with space["dspy"].context(lm=space["lm"]):
        holds(space)
    assert "topic: billing" in printed[1]
    assert space["compiled"].compile_report.squeezed > 0


@pytest.mark.local_lm
@pytest.mark.skipif(not installed(MODEL), reason=f"anytime-dspy models pull {MODEL}")
def test_the_tutorial_runs_on_the_smallest_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space, printed = run(TUTORIAL)
    with space["dspy"].context(lm=space["lm"]):
        holds(space)
    assert all(printed[1:])


def test_the_notebook_is_one_and_shows_what_it_printed():
    notebook = json.loads(TUTORIAL.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    code = [cell for cell in cells(TUTORIAL) if cell["cell_type"] == "code"]
    assert all(cell["outputs"] for cell in code[1:]), "write its outputs: python -m docs.notebook"
    assert as_markdown(TUTORIAL).count("```python") == len(code)
