"""Folders of earlier compiles: they load, and resume for free.

`tests/data/compiles` was written by `compiled` below, without the empty lock files: the recipe's and LEAP's at commit
0475a20, before their records were merged; the race's anew when the order of its candidates changed, since another order
is another race.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.cli.compile_folder import read_compiled
from anytime_dspy.optimizers import LEAP, PDP, CompileReport, LeapReport, read_pairs
from anytime_dspy.storage.jsonl import json_line
from anytime_dspy.testing import asked_for, chat, scripted_lm
from tests.fakes.simulated import examples, simulated

KEPT = Path(__file__).parents[1] / "data" / "compiles"
METRIC = ad.AnytimeIndex(lambda example, prediction: float(str(prediction.answer) == example.answer))
OPTIMISERS = {
    "raced": (PDP, {"judge": "metric", "trials": 4, "rounds": 2, "examples": 16}),
    "recipe": (PDP, {"judge": "agreement", "trials": 0}),
    "leap": (LEAP, {"shots": 2}),
}


def reply(request):
    wanted = asked_for(request)
    if "principle" in wanted or "principles" in wanted:
        return chat(**{wanted[-1]: "- Add the numbers before you answer."})
    return simulated(request)


def compiled(kind: str, folder: Path, lm: dspy.LM) -> ad.Anytime:
    lm.model = "scripted/earlier"
    optimiser, options = OPTIMISERS[kind]
    with dspy.context(lm=lm):
        return optimiser(METRIC, samples=2, log_dir=folder, **options).compile(
            ad.Anytime(dspy.ChainOfThought("question -> answer"), (16, 32), answer_tokens=8), trainset=examples(1, 12)
        )


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return Path(shutil.copytree(KEPT / request.param, tmp_path / request.param))


def comparable(value):
    """JSON without wall times, which differ where a call is read instead of made, and without what was added since."""
    if isinstance(value, dict):
        return {key: comparable(part) for key, part in value.items() if key not in ("seconds", "sure")}
    return [comparable(part) for part in value] if isinstance(value, list) else value


def known_program(folder: Path) -> ad.Anytime:
    return ad.Anytime(dspy.ChainOfThought("question -> answer"), (1, 2)).load(folder / "program.json")


@pytest.mark.parametrize("folder", OPTIMISERS, indirect=True)
def test_a_finished_compile_resumes_without_a_call_and_reports_the_same(folder):
    lm = scripted_lm(reply)
    program = compiled(folder.name, folder, lm)
    assert program.dump_state() == known_program(folder).dump_state()
    now, then = (json.loads((path / "report.json").read_text()) for path in (folder, KEPT / folder.name))
    assert comparable(now) == comparable(then)
    assert not lm.engine.requests


@pytest.mark.parametrize("folder", ["raced"], indirect=True)
def test_a_race_that_was_killed_resumes_to_the_same_program(folder):
    for name in ("study.jsonl", "calls.jsonl", "squeezed.jsonl"):
        lines = (folder / name).read_bytes().splitlines(keepends=True)
        (folder / name).write_bytes(b"".join(lines[: len(lines) // 2]))
    lm = scripted_lm(reply)
    assert compiled("raced", folder, lm).dump_state() == known_program(folder).dump_state()
    assert 0 < len(lm.engine.requests) < 158, "what the folder still has is not requested again"


@pytest.mark.parametrize("folder", OPTIMISERS, indirect=True)
def test_its_report_is_read_as_the_compile_returned_it(folder):
    kind = LeapReport if folder.name == "leap" else CompileReport
    there = kind.read(folder / "report.json")
    assert comparable(json.loads(json_line(there))) == comparable(json.loads((folder / "report.json").read_text()))
    now = compiled(folder.name, folder, scripted_lm(reply)).compile_report
    assert kind.read(folder / "report.json") == now
    assert there.usage.tokens == now.usage.tokens > 1000


@pytest.mark.parametrize("folder", ["raced", "recipe"], indirect=True)
def test_its_files_are_read(folder):
    assert len(read_pairs(folder / "pairs.jsonl")) >= 2
    view = read_compiled(folder)
    assert view.predictors[0].demonstrations
    assert len(view.races) == (2 if folder.name == "raced" else 0)
