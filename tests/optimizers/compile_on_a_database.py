"""Run by test_hosts in processes of its own: compiles, and tells of each LM call as it begins and as it ends."""

from __future__ import annotations

import os
import time
from pathlib import Path

import dspy

from anytime_dspy.storage import database
from anytime_dspy.storage.jsonl import content_hash
from anytime_dspy.testing import ScriptedEngine
from tests.fakes.simulated import simulated
from tests.optimizers.compile_that_is_killed import compiled, state_of


def main(folder: Path, url: str, lease: float, cut_off: float, options: dict[str, int]) -> None:
    database.LEASE, database.CUT_OFF = lease, cut_off
    told = os.open(folder / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    class TellingEngine(ScriptedEngine):
        def complete(self, request):
            key = content_hash(repr(request))
            os.write(told, f"begun {key} {os.getpid()}\n".encode())
            time.sleep(0.01)
            response = super().complete(request)
            os.write(told, f"ended {key} {os.getpid()}\n".encode())
            return response

    program = compiled(dspy.LM("telling/engine", engine=TellingEngine(simulated), cache=False), storage=url, **options)
    (folder / f"result-{os.getpid()}").write_text(state_of(program))


def hold(url: str, name: str, lease: float, taken: Path) -> None:
    """Takes a lease, says so, and keeps it until it is killed."""
    database.LEASE = lease
    with database.DatabaseFolder(url) as folder, folder.lease(name):
        taken.touch()
        time.sleep(600)
