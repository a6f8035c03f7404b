"""Tool calls on the tape: a tool that ran before the cut does not run again on replay."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any

import dspy

from anytime_dspy.calls.completion import HistoryRecorder, recording
from anytime_dspy.runtime.adapter import BudgetAdapter
from anytime_dspy.runtime.content import content_key
from anytime_dspy.runtime.copies import own_copy
from anytime_dspy.runtime.tape import Replay, ToolOutcome

__all__ = ["tape_tools"]


def tape_tools(program: dspy.Module) -> None:
    """Records the calls of every `dspy.Tool` of a program on the tape, where there is one.

    A tool's outcome is assumed to depend on its name and its arguments only. A tool that calls an LM is run again on
    replay, so that its LM calls are charged; these are replayed.

    Args:
        program: The program; its tools' functions are wrapped in place.
    """
    for _, tool in program.named_sub_modules(type_=dspy.Tool):
        if not isinstance(tool.func, _Taped):
            tool.func = _Taped(tool.func, tool.name)


class _Taped:
    """A tool's function, recorded and replayed if the surrounding budget has a tape."""

    def __init__(self, func: Callable[..., Any], name: str) -> None:
        functools.update_wrapper(self, func)
        self._func = func
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _is_async(self._func):
            return self._acall(*args, **kwargs)
        replay, key = _replay(), self._key(args, kwargs)
        recorded = replay.tools.next(key) if replay else None
        outcome = _own(recorded.value) if recorded else self._run(replay, key, args, kwargs)
        # Raised here both live and replayed: an agent shows the traceback to its LM, which must not differ.
        if outcome.error is not None:
            raise outcome.error.with_traceback(outcome.traceback)
        return outcome.value

    async def _acall(self, *args: Any, **kwargs: Any) -> Any:
        replay, key = _replay(), self._key(args, kwargs)
        recorded = replay.tools.next(key) if replay else None
        outcome = _own(recorded.value) if recorded else await self._arun(replay, key, args, kwargs)
        if outcome.error is not None:
            raise outcome.error.with_traceback(outcome.traceback)
        return outcome.value

    def _run(self, replay: Replay | None, key: Hashable, args: Any, kwargs: Any) -> ToolOutcome:
        recorder = HistoryRecorder()
        with recording(recorder):
            try:
                outcome = ToolOutcome(self._func(*args, **kwargs))
            except Exception as error:
                outcome = _raised(error)
        return _kept(replay, key, outcome, recorder)

    async def _arun(self, replay: Replay | None, key: Hashable, args: Any, kwargs: Any) -> ToolOutcome:
        recorder = HistoryRecorder()
        with recording(recorder):
            try:
                outcome = ToolOutcome(await self._func(*args, **kwargs))
            except Exception as error:
                outcome = _raised(error)
        return _kept(replay, key, outcome, recorder)

    def _key(self, args: Any, kwargs: Any) -> Hashable:
        # Two tools may have the same name.
        return self._name, id(self._func), content_key((args, kwargs))


def _replay() -> Replay | None:
    adapter = dspy.settings.adapter
    return adapter.replay if isinstance(adapter, BudgetAdapter) else None


def _is_async(func: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(func) or inspect.iscoroutinefunction(getattr(func, "__call__", None))  # noqa: B004


def _raised(error: Exception) -> ToolOutcome:
    frames = error.__traceback__
    return ToolOutcome(error=error, traceback=frames.tb_next if frames else None)


def _kept(replay: Replay | None, key: Hashable, outcome: ToolOutcome, recorder: HistoryRecorder) -> ToolOutcome:
    if replay and not recorder.is_used and not inspect.isawaitable(outcome.value):
        replay.tools.add(key, _own(outcome))
    return outcome


def _own(outcome: ToolOutcome) -> ToolOutcome:
    """Returns an outcome whose value the program may change."""
    return replace(outcome, value=own_copy(outcome.value))
