"""A tape of LM calls: one run records it, and runs at smaller budgets are replayed from it for free."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import dspy

from anytime_dspy.lm_calls import Completion

__all__ = ["Replay", "Tape", "call_key"]


def call_key(
    lm: Any,
    lm_kwargs: Mapping[str, Any],
    signature: type[dspy.Signature],
    demos: Sequence[Any],
    inputs: Mapping[str, Any],
) -> Hashable:
    """Returns what makes two calls of one run the same call: all that the prompt is made from, the cap left out."""
    return (
        str(lm.model),
        repr(sorted((name, value) for name, value in lm_kwargs.items() if not name.startswith("max_"))),
        repr(signature),
        repr([dict(demo) for demo in demos]),
        repr(sorted(inputs.items())),
    )


class Tape:
    """The completions of one run in the order of their calls, by what was asked.

    Args:
        limit: Reasoning tokens that the budget around the recording has left, if there is one: no replay uses more.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self._completions: dict[Hashable, list[Completion]] = defaultdict(list)

    def replay(self) -> Replay:
        """Returns a fresh reader, for one run of the program."""
        return Replay(self._completions)


class Replay:
    """Reads a tape through once, and adds to it where it meets a call that was never made.

    A call is missing where an earlier forced answer led the program elsewhere; it is then made live, as any run at
    that budget would have made it.
    """

    def __init__(self, completions: dict[Hashable, list[Completion]]) -> None:
        self._completions = completions
        self._met: Counter[Hashable] = Counter()
        self._lock = threading.Lock()

    def next(self, key: Hashable) -> Completion | None:
        """Returns the recorded completion of the next call with this key, or None where there is none."""
        with self._lock:
            at = self._met[key]
            recorded = self._completions[key]
            if at == len(recorded):
                return None
            self._met[key] += 1
            return recorded[at]

    def add(self, key: Hashable, completion: Completion) -> None:
        """Records a completion that was just made, as the one that this reader has passed."""
        with self._lock:
            self._completions[key].append(completion)
            self._met[key] += 1
