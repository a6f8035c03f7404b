"""A tape of what one run did: its LM calls and its tools, from which runs at smaller budgets are replayed for free."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

import dspy

from anytime_dspy.calls.completion import Completion
from anytime_dspy.errors import AnytimeError
from anytime_dspy.runtime.call_order import CallOrder
from anytime_dspy.runtime.content import content_key
from anytime_dspy.runtime.generation import LMRequest, Message

__all__ = ["ToolOutcome", "Recorded", "Replay", "Tape", "call_key"]

T = TypeVar("T")


@lru_cache(maxsize=256)  # asked for at every budget; some optimisers write new instructions into a signature
def _text_of(signature: Any, instructions: str | None) -> str:
    return repr(signature)


def call_key(
    lm: Any,
    lm_kwargs: Mapping[str, Any],
    signature: type[dspy.Signature],
    demos: Sequence[Any],
    inputs: Mapping[str, Any],
) -> Hashable:
    """Returns what makes two calls of one run the same call: all that the prompt is made from, the cap left out."""
    options = {**lm.kwargs, **lm_kwargs}
    return (
        str(lm.model),
        content_key({name: value for name, value in options.items() if not name.startswith("max_")}),
        _text_of(cast(Any, signature), signature.__doc__),
        content_key([dict(demo) for demo in demos]),
        content_key(dict(inputs)),
    )


@dataclass(frozen=True)
class Recorded(Generic[T]):
    """Something on a tape.

    Attributes:
        value: What was recorded.
        place: Where it stands among the others of its kind, in the order in which they ended.
    """

    value: T
    place: int


@dataclass(frozen=True)
class ToolOutcome:
    """What a tool did.

    Attributes:
        value: What it returned.
        error: What it raised instead.
        traceback: Where it was raised, the tool's own frames alone: an agent shows them to its LM.
    """

    value: Any = None
    error: Exception | None = None
    traceback: TracebackType | None = None


class _Track(Generic[T]):
    """Things of one kind in the order of their ends, found by what was asked."""

    def __init__(self) -> None:
        self._found: dict[Hashable, list[Recorded[T]]] = defaultdict(list)
        self._lock = threading.Lock()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def get(self, key: Hashable, at: int) -> Recorded[T] | None:
        with self._lock:
            recorded = self._found[key]
            return recorded[at] if at < len(recorded) else None

    def add(self, key: Hashable, value: T) -> None:
        with self._lock:
            self._found[key].append(Recorded(value, self._length))
            self._length += 1

    def replace(self, key: Hashable, recorded: Recorded[T], value: T) -> None:
        with self._lock:
            found = self._found[key]
            found[found.index(recorded)] = Recorded(value, recorded.place)


class _Reader(Generic[T]):
    """Reads a track through once, and adds to it what it does not find there."""

    def __init__(self, track: _Track[T]) -> None:
        self._track = track
        self._met: dict[Hashable, int] = defaultdict(int)
        self._lock = threading.Lock()

    def next(self, key: Hashable) -> Recorded[T] | None:
        """Returns what was recorded next under this key, or None where nothing more was."""
        with self._lock:
            recorded = self._track.get(key, self._met[key])
            self._met[key] += recorded is not None
            return recorded

    def add(self, key: Hashable, value: T) -> None:
        """Records what has just happened, as something that this reader has passed."""
        with self._lock:
            self._track.add(key, value)
            self._met[key] += 1

    def replace(self, key: Hashable, recorded: Recorded[T], value: T) -> None:
        """Records what has now taken the place of something that this reader has passed."""
        self._track.replace(key, recorded, value)


@dataclass(frozen=True)
class Tape:
    """What one run of a program did.

    Attributes:
        calls: What was written in the predictors' calls.
        answers: The completions of forced answers.
        tools: What the tools did.
        answer_requests: By a call, how its answer was last asked for: at another cut all but the reasoning is the same.
    """

    calls: _Track[Message] = field(default_factory=_Track)
    answers: _Track[Completion] = field(default_factory=_Track)
    tools: _Track[ToolOutcome] = field(default_factory=_Track)
    answer_requests: dict[Hashable, LMRequest] = field(default_factory=dict)

    @property
    def is_one_call(self) -> bool:
        """Whether the run made one call in all, and used no tool."""
        return len(self.calls) == 1 and not len(self.tools)

    def replay(self) -> Replay:
        """Returns a fresh reader, for one run of the program."""
        return Replay(
            _Reader(self.calls), _Reader(self.answers), _Reader(self.tools), self.answer_requests, CallOrder()
        )


@dataclass(frozen=True)
class Replay:
    """Reads a tape through once, and adds to it where it meets something that was never done.

    Something is missing where an earlier forced answer led the program elsewhere; it is then done live, as any run at
    that budget would have done it.

    Attributes:
        calls: The predictors' calls.
        answers: Their forced answers.
        tools: The calls of tools.
        answer_requests: How answers were asked for, as on the tape.
        order: Has the calls of this run take turns as they did when they were recorded.
        refusals: Why calls of this run were refused; one is enough to end it.
    """

    calls: _Reader[Message]
    answers: _Reader[Completion]
    tools: _Reader[ToolOutcome]
    answer_requests: dict[Hashable, LMRequest]
    order: CallOrder
    refusals: list[AnytimeError] = field(default_factory=list)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Keeps what a call inside the `with` block is refused for, and refuses every later one unpaid."""
        if self.refusals:
            raise self.refusals[0]
        try:
            yield
        except AnytimeError as refusal:
            self.refusals.append(refusal)
            raise
