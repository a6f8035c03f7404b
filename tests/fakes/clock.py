"""Time that passes only while a scripted LM writes."""

from __future__ import annotations

import importlib
import pkgutil
import time
from types import ModuleType, SimpleNamespace

import dspy
import pytest
from dspy.lm15 import Request, Response

import anytime_dspy
from anytime_dspy.testing import AsyncScriptedEngine, Reply, ScriptedEngine


class Clock:
    """Seconds since the beginning of a test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        clocks = dict.fromkeys(("monotonic", "perf_counter"), lambda: self.now)
        own = SimpleNamespace(**{**vars(time), **clocks})
        replaced = {id(time): own, **{id(getattr(time, name)): clock for name, clock in clocks.items()}}
        # Whichever modules of the library look at the time, and however they import it; DSPy and asyncio keep theirs.
        for module in [anytime_dspy, *map(importlib.import_module, ("anytime_dspy.runtime", "anytime_dspy.calls"))]:
            for info in pkgutil.iter_modules(module.__path__, f"{module.__name__}."):
                if info.name != "anytime_dspy.__main__":
                    self._stand_in(importlib.import_module(info.name), replaced, monkeypatch)

    @staticmethod
    def _stand_in(module: ModuleType, replaced: dict[int, object], monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in list(vars(module).items()):
            if id(value) in replaced:
                monkeypatch.setattr(module, name, replaced[id(value)])

    def lm(self, reply: Reply, *, speed: float, can_continue: bool = True, cache: bool = False) -> dspy.LM:
        """Returns an LM that writes `speed` tokens a second."""
        engine = _TimedEngine(self, reply, speed, can_continue)
        return dspy.LM(f"timed/{id(engine)}", engine=engine, async_engine=AsyncScriptedEngine(engine), cache=cache)


class _TimedEngine(ScriptedEngine):
    def __init__(self, clock: Clock, reply: Reply, speed: float, can_continue: bool) -> None:
        super().__init__(reply, can_continue=can_continue)
        self._clock = clock
        self._speed = speed

    def complete(self, request: Request) -> Response:
        response = super().complete(request)
        self._clock.now += (response.usage.output_tokens or 0) / self._speed
        return response
