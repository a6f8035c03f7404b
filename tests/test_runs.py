"""Runs read from folders, and which of them may be put side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anytime_dspy.errors import BudgetError, RunError
from anytime_dspy.statistics.comparison import compare_runs
from anytime_dspy.statistics.paired import holm
from anytime_dspy.statistics.summary import index_difference
from anytime_dspy.storage.results import ExampleResult
from anytime_dspy.storage.run_folder import RunStore
from anytime_dspy.storage.runs import check_comparable, read_runs
from tests.report.made import FINGERPRINT, made_run

BETTER = (0.6, 0.8, 0.9, 1.0)


def test_a_run_is_called_as_its_folder(tmp_path):
    (run,) = read_runs([made_run(tmp_path / "runs" / "plain", n=3)])
    assert (run.label, run.fingerprint["task"], len(run.results)) == ("plain", "sums", 3)
    assert {"at", "dspy"} <= set(run.created)


def test_a_compile_holds_the_runs_before_and_after_it(tmp_path):
    RunStore.open(tmp_path / "pdp", {"task": "sums"})
    made_run(tmp_path / "pdp" / "plain", n=3)
    made_run(tmp_path / "pdp" / "compiled", n=3, change={"program": "pdp"})
    assert [run.label for run in read_runs([tmp_path / "pdp"])] == ["plain", "compiled"]
    other = made_run(tmp_path / "leap", n=3)
    assert [run.label for run in read_runs([other, tmp_path / "pdp"])] == ["leap", "pdp/plain", "pdp/compiled"]


def test_a_copied_compile_keeps_its_order(tmp_path):
    RunStore.open(tmp_path / "pdp", {"task": "sums"})
    for name, at in (("compiled", "2026-11-24T04:00:00+00:00"), ("plain", "2026-11-24T03:00:00+00:00")):
        described = made_run(tmp_path / "pdp" / name, n=2) / "run.json"
        run = json.loads(described.read_text())
        described.write_text(json.dumps({**run, "created": {"at": at}}))
    assert [run.label for run in read_runs([tmp_path / "pdp"])] == ["plain", "compiled"]


def test_folders_without_a_result_are_refused(tmp_path):
    RunStore.open(tmp_path / "begun", FINGERPRINT)
    RunStore.open(tmp_path / "failed", FINGERPRINT).append(ExampleResult("a", {}, (), error="outage"))
    for name, complaint in (("begun", "no results yet"), ("failed", "no results yet"), ("nowhere", "holds no run")):
        with pytest.raises(RunError, match=complaint):
            read_runs([tmp_path / name])


def test_a_run_is_not_compared_with_itself(tmp_path):
    run = made_run(tmp_path / "run", n=3)
    with pytest.raises(RunError, match="named twice"):
        read_runs([run, Path(f"{run}/../run")])


@pytest.mark.parametrize(
    ("key", "value"),
    [("task", "products"), ("task version", "2"), ("scorer", "loose"), ("budgets", [16, 32, 64, 256])],
)
def test_unlike_measurements_are_refused(tmp_path, key, value):
    runs = read_runs([made_run(tmp_path / "a", n=3), made_run(tmp_path / "b", n=3, change={key: value})])
    for refuse in (check_comparable, compare_runs):
        with pytest.raises(RunError, match=f"a and b cannot be compared: the {key} of one is .*; measure both alike"):
            refuse(runs)


def test_runs_without_a_common_item_have_nothing_to_compare(tmp_path):
    whole, failed = (RunStore.open(tmp_path / name, FINGERPRINT) for name in ("whole", "failed"))
    (one, other) = read_runs([made_run(tmp_path / "made", n=2)])[0].results
    whole.append(one)
    whole.append(ExampleResult(other.id, other.inputs, (), error="outage"))
    failed.append(other)
    failed.append(ExampleResult(one.id, one.inputs, (), error="outage"))
    with pytest.raises(BudgetError, match="nothing measured"):
        compare_runs(read_runs([tmp_path / "whole", tmp_path / "failed"]))


def test_every_run_is_compared_with_the_first_in_every_reading(tmp_path):
    runs = read_runs(
        [
            made_run(tmp_path / "plain"),
            made_run(tmp_path / "leap", seed=1, change={"model": "another"}),
            made_run(tmp_path / "pdp", BETTER, seed=2),
        ]
    )
    compared = compare_runs(runs)
    measures = list(dict.fromkeys(one.measure for one in compared))
    assert len(measures) == 5
    assert [(one.run, one.reference) for one in compared[:2]] == [("leap", "plain"), ("pdp", "plain")]
    for measure in measures:
        family = [one for one in compared if one.measure == measure]
        assert [one.p_holm for one in family] == list(holm([one.difference.p for one in family]))
    ours = next(one for one in compared if one.run == "pdp" and one.measure == "Index, committed, log")
    theirs = index_difference(runs[0].results, runs[2].results, best_so_far=False, axis="log")
    assert ours.difference == theirs
    assert theirs.low > 0
    assert theirs.p < 0.01
    assert {one.test for one in compared if one.measure == "Final"} == {"McNemar"}


def test_one_run_alone_compares_with_nothing(tmp_path):
    assert compare_runs(read_runs([made_run(tmp_path / "run", n=2)])) == ()
