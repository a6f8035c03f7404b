"""`report` and `compare`, from what is typed to what is printed and written."""

from __future__ import annotations

import json

import pytest

from tests.fakes.command_line import assert_refused, cli
from tests.report.made import made_run


def test_a_report_is_tables_and_a_page_beside_the_run(tmp_path):
    made_run(tmp_path / "run")
    done = cli("report", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Anytime Index, committed" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert (tmp_path / "run" / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.slow
def test_a_comparison_is_written_as_its_suffix_says(tmp_path):
    made_run(tmp_path / "plain")
    made_run(tmp_path / "pdp", (0.6, 0.8, 0.9, 1.0), seed=1)
    files = ("c.html", "c.png", "c.svg", "c.csv", "c.parquet")
    outputs = [word for name in files for word in ("--out", name)]
    done = cli("compare", "plain", "pdp", *outputs, "--target", 0.5, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert set(told["runs"]) == {"plain", "pdp"}
    assert told["runs"]["pdp"]["tokens to target"] == {"target": 0.5, "budget": 16}
    assert {one["measure"] for one in told["comparisons"]} >= {"Index, committed", "Final"}
    starts = {"c.html": b"<!doctype", "c.png": b"\x89PNG", "c.svg": b"<?xml", "c.csv": b"run,id", "c.parquet": b"PAR1"}
    for name, start in starts.items():
        assert (tmp_path / name).read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "nowhere"], ["nowhere", "no run"]),
        (["report", "plain", "--out", "plain.docx"], ["plain.docx", ".html"]),
        (["compare", "plain", "other"], ["task version", "measure both alike"]),
        (["compare", "plain", "plain"], ["named twice"]),
        (["compare", "plain"], ["one run alone", "report"]),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, arguments, words):
    made_run(tmp_path / "plain", n=2)
    made_run(tmp_path / "other", n=2, change={"task version": "2"})
    before = sorted(tmp_path.rglob("*"))
    assert_refused(cli(*arguments, cwd=tmp_path), *words)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_damaged_run_gives_no_table(tmp_path):
    results = made_run(tmp_path / "run", n=2) / "results.jsonl"
    results.write_text(results.read_text().replace('"quality": 0.0', '"quality": 1.0', 1))
    assert_refused(cli("report", "run", cwd=tmp_path), "line 1", "edited")
