"""The fifty planted cases of experiments/bench, on the scripted judges: what docs/judges.md says of them."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "experiments" / "bench"
WAYS = ("naive", "both orders", "both orders, quoted", "both orders, quoted, canonical")


@pytest.fixture(scope="module")
def counts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        return importlib.import_module("injection").measure().counts


@pytest.mark.slow
def test_each_defence_stops_what_the_page_on_judges_says(counts):
    heeds, obeys = (
        [count.decided for count in counts if count.engine == f"scripted/{kind}"]
        for kind in ("heeds quotations", "obeys everything")
    )
    assert tuple(count.way for count in counts) == 2 * WAYS
    assert heeds == [50, 20, 0, 0]
    assert obeys == [50, 20, 20, 0]


def test_without_an_order_both_scripted_judges_judge_rightly(counts):
    assert {(count.cases, count.wins_without) for count in counts} == {(50, 0)}
