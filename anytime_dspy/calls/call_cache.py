"""LM calls kept on disk as they finish, so that a run that was killed and is started again repeats none of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import dspy
from dspy.lm15 import Request

from anytime_dspy.calls.completion import Completion
from anytime_dspy.calls.forced_answer import NOT_SENT, PredictorCall
from anytime_dspy.calls.typed import typed
from anytime_dspy.storage.jsonl import LineLog, content_hash

__all__ = ["CallLog", "call_fingerprint", "current_call_log", "keeping_calls"]


class CallLog:
    """Completions by what was asked; asking the same again gives the same, as with DSPy's cache.

    Unlike that cache it belongs to one run, is on disk when a call returns, and holds what the call cost.

    Args:
        path: A JSON Lines file; it is made where it is not there.

    Raises:
        RunError: The file is something else, is damaged, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._lines = LineLog(path, {"holds": "LM calls"}, _call_from, "LM call")
        self._known: dict[str, Completion] = {}
        self._learn(self._lines.lines)

    def get(self, key: str, signature: type[dspy.Signature]) -> Completion | None:
        """Returns the completion of a call, its values as the signature has them; None where it was never made.

        A call that another process has made since is found too.
        """
        if key not in self._known:
            self._learn(self._lines.new_lines())
        known = self._known.get(key)
        if known is None or known.values is None:
            return known
        types = {name: field.annotation for name, field in signature.output_fields.items()}
        return replace(known, values=typed(known.values, types))

    def add(self, key: str, completion: Completion) -> None:
        """Keeps a completion and waits until it is on disk; safe to call from several threads.

        Raises:
            RunError: It cannot be written.
        """
        self._lines.append({"key": key, "completion": asdict(completion)})
        self._known[key] = completion

    def _learn(self, calls: Sequence[tuple[str, Completion]]) -> None:
        for key, completion in calls:
            self._known.setdefault(key, completion)


def _call_from(line: Any) -> tuple[str, Completion]:
    return line["key"], Completion(**line["completion"])


@contextmanager
def keeping_calls(path: Path) -> Iterator[None]:
    """Keeps every LM call that is made under a budget inside the `with` block, and answers from there what is kept.

    Inside another such block, that one keeps the calls.

    Raises:
        RunError: The file is something else, is damaged, or cannot be written.
    """
    with dspy.context(anytime_call_log=current_call_log() or CallLog(path)):
        yield


def current_call_log() -> CallLog | None:
    """Returns the log of the block around this place, or None where there is none."""
    log = dspy.settings.get("anytime_call_log", None)
    return log if isinstance(log, CallLog) else None


def call_fingerprint(adapter: dspy.Adapter, call: PredictorCall, request: Request | None) -> str:
    """Returns what makes two calls the same call, in another process too: what is sent, the model and its options.

    Args:
        adapter: The inner adapter, which says what is sent.
        call: The predictor's call.
        request: What is sent instead, where it is a request of our own.
    """
    sent = adapter.format(call.signature, list(call.demos), dict(call.inputs)) if request is None else request
    options: Mapping[str, Any] = {**call.lm.kwargs, **call.lm_kwargs}
    told_apart = {name: value for name, value in options.items() if name == "rollout_id" or name not in NOT_SENT}
    return content_hash([type(adapter).__name__, str(call.lm.model), told_apart, repr(sent)])
