"""Run by test_resume in processes of its own: compiles, and tells of each LM call as it ends, in a file."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import dspy

import anytime_dspy as ad
from anytime_dspy.optimizers import PDP
from anytime_dspy.storage.jsonl import content_hash
from anytime_dspy.testing import ScriptedEngine
from tests.fakes.simulated import examples, simulated
from tests.fakes.unscripted import unscripted


def quality(example, prediction):
    return float(str(prediction.answer) == example.answer)


def main(folder: Path, log: str, seconds: float) -> None:
    told = os.open(folder / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    class TellingEngine(ScriptedEngine):
        def complete(self, request):
            time.sleep(seconds)
            response = super().complete(request)
            os.write(told, f"{content_hash(repr(request))} {os.getpid()}\n".encode())
            return response

    program = compiled(dspy.LM("telling/engine", engine=TellingEngine(simulated), cache=False), log_dir=folder / log)
    (folder / f"result-{os.getpid()}").write_text(state_of(program))


def compiled(lm: dspy.LM, **options: Any) -> ad.Anytime:
    pdp = PDP(ad.AnytimeIndex(quality), **{"samples": 3, "judge": "metric", "trials": 8, "rounds": 2, **options})
    student = ad.Anytime(dspy.ChainOfThought("question -> answer"), (16, 32), answer_tokens=8)
    with dspy.context(lm=lm):
        return pdp.compile(student, trainset=examples(1, 6), valset=examples(100, 10))


def state_of(program: ad.Anytime) -> str:
    unscripted.refuse()
    scores = [one.race.standings[0].scores for one in program.compile_report.rounds]
    return json.dumps([program.dump_state(), scores], sort_keys=True)
