"""The tape of a run: its LM calls and tool calls, from which runs at smaller budgets are replayed for free."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

from anytime_dspy.calls.completion import Completion
from anytime_dspy.calls.predictor_call import PredictorCall
from anytime_dspy.errors import AnytimeError
from anytime_dspy.runtime.call_order import CallOrder
from anytime_dspy.runtime.content import content_key
from anytime_dspy.runtime.generation import GeneratedMessage, LMRequest

__all__ = ["Recorded", "Replay", "Tape", "ToolOutcome", "call_key"]

T = TypeVar("T")


def call_key(call: PredictorCall) -> Hashable:
    """Returns a key that is equal for equal calls of one run: of the prompt's parts, and of all options but caps."""
    options = {name: value for name, value in call.options.items() if not name.startswith("max_")}
    return (
        str(call.lm.model),
        content_key(options),
        _text_of(cast(Any, call.signature), call.signature.__doc__),
        content_key([dict(demo) for demo in call.demos]),
        content_key(dict(call.inputs)),
    )


@lru_cache(maxsize=256)  # used at every budget; the second argument, since some optimisers change the first in place
def _text_of(signature: Any, instructions: str | None) -> str:
    return repr(signature)


@dataclass(frozen=True)
class Recorded(Generic[T]):
    """An entry of a tape.

    Attributes:
        value: What was recorded.
        place: Its number among the entries of its kind, in the order in which they ended.
    """

    value: T
    place: int


@dataclass(frozen=True)
class ToolOutcome:
    """The outcome of a tool call.

    Attributes:
        value: What the tool returned.
        error: What it raised instead.
        traceback: Where it was raised, the tool's own frames only: an agent shows them to its LM.
    """

    value: Any = None
    error: Exception | None = None
    traceback: TracebackType | None = None


class _Track(Generic[T]):
    """The entries of one kind, by key and in the order in which they ended."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, list[Recorded[T]]] = defaultdict(list)
        self._lock = threading.Lock()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def get(self, key: Hashable, at: int) -> Recorded[T] | None:
        with self._lock:
            entries = self._entries[key]
            return entries[at] if at < len(entries) else None

    def add(self, key: Hashable, value: T) -> None:
        with self._lock:
            self._entries[key].append(Recorded(value, self._length))
            self._length += 1

    def replace(self, key: Hashable, recorded: Recorded[T], value: T) -> None:
        with self._lock:
            entries = self._entries[key]
            entries[entries.index(recorded)] = Recorded(value, recorded.place)


class _Reader(Generic[T]):
    """Reads a track once, and appends what it lacks."""

    def __init__(self, track: _Track[T]) -> None:
        self._track = track
        self._read: dict[Hashable, int] = defaultdict(int)
        self._lock = threading.Lock()

    def next(self, key: Hashable) -> Recorded[T] | None:
        """Returns the next entry of this key, None after the last one."""
        with self._lock:
            recorded = self._track.get(key, self._read[key])
            self._read[key] += recorded is not None
            return recorded

    def add(self, key: Hashable, value: T) -> None:
        """Appends an entry, which counts as read."""
        with self._lock:
            self._track.add(key, value)
            self._read[key] += 1

    def replace(self, key: Hashable, recorded: Recorded[T], value: T) -> None:
        """Replaces the value of an entry that was read."""
        self._track.replace(key, recorded, value)


@dataclass(frozen=True)
class Tape:
    """The recording of one run of a program.

    Attributes:
        calls: The messages of the predictor calls.
        answers: The completions of forced answers.
        tools: The outcomes of tool calls.
        answer_requests: The last request for a forced answer, by call: at another cut only the reasoning differs.
    """

    calls: _Track[GeneratedMessage] = field(default_factory=_Track)
    answers: _Track[Completion] = field(default_factory=_Track)
    tools: _Track[ToolOutcome] = field(default_factory=_Track)
    answer_requests: dict[Hashable, LMRequest] = field(default_factory=dict)

    @property
    def is_one_call(self) -> bool:
        """Whether the run made one predictor call in all, and no tool call."""
        return len(self.calls) == 1 and not len(self.tools)

    def replay(self) -> Replay:
        """Returns a new reader, for one run of the program."""
        return Replay(_Reader(self.calls), _Reader(self.answers), _Reader(self.tools), self.answer_requests)


@dataclass(frozen=True)
class Replay:
    """Replays a tape once. Calls that it lacks, because a forced answer changed the program's path, are made and added.

    Attributes:
        calls: The messages of the predictor calls.
        answers: The completions of forced answers.
        tools: The outcomes of tool calls.
        answer_requests: As on the tape.
        order: Runs the calls in the order in which they were recorded.
        errors: The errors of this library that calls of this run have raised; the first one ends the run.
    """

    calls: _Reader[GeneratedMessage]
    answers: _Reader[Completion]
    tools: _Reader[ToolOutcome]
    answer_requests: dict[Hashable, LMRequest]
    order: CallOrder = field(default_factory=CallOrder)
    errors: list[AnytimeError] = field(default_factory=list)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Keeps an error of this library that is raised inside the block, and raises it again in every later block."""
        if self.errors:
            raise self.errors[0]
        try:
            yield
        except AnytimeError as error:
            self.errors.append(error)
            raise
