"""The comparison of compilers as a command, every compiler really run; no figure here is one of a language model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import dspy
import pytest
import typer
from click.testing import Result as Done
from dspy.lm15 import Request
from typer.testing import CliRunner

import anytime_dspy as ad
from experiments.compilers import run as command
from experiments.compilers.meter import LimitReached, TokenMeter
from experiments.compilers.methods import BASE, COMPILERS
from experiments.compilers.plan import read_plan
from tests.fakes.prompts import asked_for, prefill_of, prompt_of
from tests.fakes.scripted import ScriptedEngine, WordCounter, chat, scripted_lm
from tests.fakes.simulated import PLANTED, simulated

pytestmark = [
    # What DSPy's optimisers themselves warn of is no fault here.
    pytest.mark.filterwarnings("ignore"),
]

OURS = {"answer", "better", "rules", "sentences"}
ENGINES: list[ScriptedEngine] = []

PLAN = f"""
title = "Simulated compilers"
seeds = [0]
threads = 2

[[bench]]
name = "sums"
task = "{Path(__file__).parent / "fakes" / "sums_task.py"}"
generated = true
train = 6
validation = 4
test = 8
budgets = [16, 24, 32, 40]
answer_tokens = 8
tokens = 120000

[bench.model]
name = "Simulated"
lm = "any"
simulated = "tests.test_compilers:simulated_lm"
"""


def reply(request: Request) -> str:
    """The simulated engine, which also writes whatever field DSPy's optimisers ask for."""
    wanted = asked_for(request)
    if prefill_of(request) is not None or not OURS.isdisjoint(wanted):
        return simulated(request)
    if "new_instruction" in prompt_of(request):
        return json.dumps({"new_instruction": PLANTED})
    return chat(**dict.fromkeys(wanted, PLANTED))


def simulated_lm(name: str) -> dspy.LM:
    ENGINES.append(ScriptedEngine(reply))
    return dspy.LM(f"simulated/{name}", engine=ENGINES[-1], temperature=0.0)
