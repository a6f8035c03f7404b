"""Run by test_mlflow in a process of its own, as autologging is for a whole process: a user's program with MLflow.

It compiles and sweeps, and writes down what MLflow then has of it; or it sweeps while MLflow's database is away.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import dspy
import mlflow

import anytime_dspy as ad
from anytime_dspy.measure import sweep
from anytime_dspy.optimizers import PDP
from anytime_dspy.testing import scripted_lm
from tests.fakes.simulated import examples, simulated

BUDGETS = (16, 24, 32, 40)
METRIC = ad.AnytimeIndex(lambda example, prediction: float(str(prediction.answer) == example.answer))


def begin(folder: Path) -> str:
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    experiment = mlflow.create_experiment("anytime", artifact_location=(folder / "artifacts").as_uri())
    mlflow.set_experiment(experiment_id=experiment)
    mlflow.dspy.autolog(log_compiles=True, log_evals=True)
    return experiment


def without_database(folder: Path) -> None:
    begin(folder)
    mlflow.start_run()
    (folder / "mlflow.db").write_bytes(b"no database any more")
    with dspy.context(lm=scripted_lm(simulated)):
        results = sweep(student(), examples(200, 3), METRIC)
    (folder / "results.json").write_text(json.dumps(swept(results)))
    os._exit(0)  # MLflow would try to end its run


def main(folder: Path) -> None:
    experiment = begin(folder)
    pdp = PDP(METRIC, trials=6, samples=3, judge="metric", rounds=1, threads=2)
    with dspy.context(lm=scripted_lm(simulated)):
        compiled = pdp.compile(student(), trainset=examples(1, 10), valset=examples(100, 16))
        with mlflow.start_run(run_name="compiled"):
            results = sweep(compiled, examples(200, 12), METRIC, threads=2)
        sweep(student(), examples(200, 12), METRIC)
        dspy.Evaluate(devset=examples(200, 3), metric=METRIC, num_threads=1)(student())
    (folder / "seen.json").write_text(json.dumps({**seen(experiment), **swept(results), **raced(compiled)}))


def student() -> ad.Anytime:
    return ad.Anytime(dspy.ChainOfThought("question -> answer"), BUDGETS, answer_tokens=8)


def swept(results) -> dict:
    points = zip(*(result.points for result in results), strict=True)
    return {"curve": [[step[0].budget, sum(one.quality for one in step) / len(step)] for step in points]}


def raced(compiled) -> dict:
    race = compiled.compile_report.rounds[0].race
    return {"trials": sum(one.heats for one in race.standings)}


def seen(experiment: str) -> dict:
    client = mlflow.MlflowClient()
    runs = client.search_runs([experiment], max_results=1000)
    traces = mlflow.search_traces(locations=[experiment], max_results=1000, return_type="list")
    return {
        "runs": [
            {
                "id": run.info.run_id,
                "name": run.info.run_name,
                "status": run.info.status,
                "parent": run.data.tags.get("mlflow.parentRunId"),
                "metrics": {
                    key: sorted([one.step, one.value] for one in client.get_metric_history(run.info.run_id, key))
                    for key in run.data.metrics
                },
                "files": [one.path for one in client.list_artifacts(run.info.run_id)],
                "page": page(run.info.run_id),
            }
            for run in runs
        ],
        "traces": [
            {
                "name": trace.data.spans[0].name,
                "attributes": trace.data.spans[0].attributes,
                "feedback": [one.name for one in trace.info.assessments],
            }
            for trace in traces
        ],
    }


def page(run_id: str) -> str:
    client = mlflow.MlflowClient()
    if "report.html" not in [one.path for one in client.list_artifacts(run_id)]:
        return ""
    return mlflow.artifacts.load_text(f"runs:/{run_id}/report.html")


if __name__ == "__main__":
    {"main": main, "without_database": without_database}[sys.argv[1]](Path(sys.argv[2]))
