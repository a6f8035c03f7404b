"""The flat table for other programs, read back by them."""

from __future__ import annotations

import json

import datasets
import pytest

from anytime_dspy.errors import RunError
from anytime_dspy.report.flat_table import point_rows, write_rows
from anytime_dspy.storage.runs import read_runs
from tests.report.made import BUDGETS, made_run


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_written_table_reads_back(tmp_path, suffix):
    runs = read_runs([made_run(tmp_path / name, n=3, seed=seed) for seed, name in enumerate(("a", "b"))])
    path = tmp_path / "new" / f"points.{suffix}"
    write_rows(path, runs)
    back = list(datasets.Dataset.from_dict(_read(path)))
    assert back == list(point_rows(runs))
    assert len(back) == 2 * 3 * len(BUDGETS)


def _read(path):
    import pandas

    table = pandas.read_csv(path) if path.suffix == ".csv" else pandas.read_parquet(path)
    return table.to_dict(orient="list")


def test_a_row_says_what_was_asked_and_answered(tmp_path):
    row = next(point_rows(read_runs([made_run(tmp_path / "a", n=1)])))
    assert json.loads(row["inputs"]) == {"question": "What is 0 + 0?"}
    assert list(json.loads(row["answer"])) == ["answer"]
    assert row["best_so_far"] >= row["quality"]


def test_a_place_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        write_rows(tmp_path / "file" / "points.csv", read_runs([made_run(tmp_path / "a", n=1)]))
