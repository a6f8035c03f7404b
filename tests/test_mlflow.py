"""What MLflow's autologging shows of a compile and of sweeps, in a real MLflow on sqlite."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("mlflow") is None,
        reason='mlflow is not installed: pip install -e ".[dashboards]" in an environment of its own',
    ),
    pytest.mark.slow,
]

ROOT = Path(__file__).resolve().parents[1]


def ran(what: str, folder: Path) -> str:
    """Runs a function of `mlflow_program`; returns what it wrote to stderr."""
    command = [sys.executable, "-m", "tests.mlflow_program", what, str(folder)]
    # Feedback finds a trace only once it is stored.
    environment = {**os.environ, "MLFLOW_ENABLE_ASYNC_TRACE_LOGGING": "false"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("mlflow")
    said = ran("main", folder)
    assert "WARNING" not in said
    return json.loads((folder / "seen.json").read_text())


def run_with(seen: dict, file: str, name: str | None = None) -> dict:
    [run] = [one for one in seen["runs"] if file in one["files"] and name in (None, one["name"])]
    return run


def test_each_trial_is_a_run_inside_that_of_its_compile(seen):
    compiling = run_with(seen, "best_model.json")
    trials = [run for run in seen["runs"] if run["parent"] == compiling["id"]]
    assert len(trials) == seen["trials"] > 6
    assert {"trainset.json", "valset.json"} <= set(compiling["files"])
    assert all("result_table.json" in run["files"] for run in trials)
    assert all(run["status"] == "FINISHED" for run in seen["runs"])
    [scores] = [[value for _, value in compiling["metrics"][key]] for key in compiling["metrics"]]
    assert list(compiling["metrics"]) == ["anytime_index"]
    assert sorted(scores) == sorted(run["metrics"]["eval"][0][1] for run in trials)


def test_a_sweep_shows_its_curve_its_index_and_its_report_in_the_active_run(seen):
    run = run_with(seen, "report.html", "compiled")
    assert run["metrics"]["quality"] == [pytest.approx(point) for point in seen["curve"]]
    assert run["metrics"]["eval"][0][1] == pytest.approx(100 * run["metrics"]["anytime_index"][0][1], abs=0.01)
    assert "Quality at each budget" in run["page"]
    assert "sum of 200" in run["page"]


def test_a_sweep_outside_of_any_run_gets_one_of_its_own(seen):
    run = run_with(seen, "report.html", "anytime_index")
    assert run["parent"] is None
    assert [step for step, _ in run["metrics"]["quality"]] == [16, 24, 32, 40]
    assert 0 < run["metrics"]["anytime_index"][0][1] < 1


def test_traces_say_what_the_budget_did(seen):
    attributes = [trace["attributes"] for trace in seen["traces"] if trace["name"] == "Anytime.forward"]
    assert len(attributes) == 12 + 12 + 3
    for one in attributes:
        assert one["anytime.budget.tokens"] == 40
        assert one["anytime.answered"] is True
        counted = one["mlflow.chat.tokenUsage"]  # by DSPy
        assert one["gen_ai.usage.input_tokens"] == counted["input_tokens"]
        assert one["gen_ai.usage.output_tokens"] == counted["output_tokens"]


def test_the_index_of_dspys_own_evaluation_is_feedback_on_its_traces(seen):
    assert sum(trace["feedback"] == ["anytime_index"] for trace in seen["traces"]) == 3


def test_a_sweep_ends_well_where_mlflow_cannot_be_told(tmp_path):
    said = ran("without_database", tmp_path)
    assert said.count("MLflow could not be told of this sweep") == 1
    assert len(json.loads((tmp_path / "results.json").read_text())["curve"]) == 4
