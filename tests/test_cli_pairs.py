from __future__ import annotations

import json

import pytest

from anytime_dspy.optimizers.pairs.export import trl_rows
from anytime_dspy.optimizers.pairs.pair import write_pairs
from tests.fakes.command_line import assert_refused, cli
from tests.optimizers.test_export import pairs_of


@pytest.fixture
def folder(tmp_path):
    write_pairs(tmp_path / "run" / "pairs.jsonl", pairs_of())
    return tmp_path


def test_pairs_of_a_compile_are_written_for_trl(folder):
    piped = cli("pairs", "export", "run", "--format", "trl", cwd=folder)
    filed = cli("pairs", "export", "run/pairs.jsonl", "--out", "dpo.jsonl", cwd=folder)
    assert (piped.returncode, filed.returncode, filed.stdout) == (0, 0, "")
    assert piped.stdout == (folder / "dpo.jsonl").read_text()
    assert [json.loads(line) for line in piped.stdout.splitlines()] == trl_rows(pairs_of())
    assert "2 pairs" in filed.stderr


def test_a_folder_without_pairs_is_one_clear_line(folder):
    assert_refused(cli("pairs", "export", ".", cwd=folder), "pairs.jsonl", "cannot read")
