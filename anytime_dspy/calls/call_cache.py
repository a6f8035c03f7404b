"""LM calls kept on disk as they finish, so that a run that was killed and started again repeats none of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import dspy

from anytime_dspy._dspy import lm15
from anytime_dspy.calls.completion import Completion
from anytime_dspy.calls.predictor_call import NOT_SENT, PredictorCall
from anytime_dspy.storage.jsonl import AnyFile, content_hash
from anytime_dspy.storage.key_value import KeyValueFile
from anytime_dspy.storage.typed import typed

__all__ = ["CallCache", "call_fingerprint", "current_call_cache", "keeping_calls"]


class CallCache(KeyValueFile):
    """Completions by what was sent. Unlike DSPy's cache it belongs to one run, and holds what each call cost.

    Args:
        path: A JSON Lines file; it is created if it does not exist.

    Raises:
        RunError: The file holds something else, is damaged, or cannot be written.
    """

    def __init__(self, path: AnyFile) -> None:
        super().__init__(path, {"holds": "LM calls"}, "completion", "LM call")

    def completion(self, key: str, signature: type[dspy.Signature]) -> Completion | None:
        """Returns the completion of a call, its values in the types of the signature; None if the call was not made."""
        known = self.get(key, Completion)
        if known is None or known.values is None:
            return known
        types = {name: field.annotation for name, field in signature.output_fields.items()}
        return replace(known, values=typed(known.values, types))


@contextmanager
def keeping_calls(path: AnyFile) -> Iterator[None]:
    """Stores every LM call made under a budget inside the `with` block, and answers stored ones from the file.

    Inside another such block, the outer file is used.

    Raises:
        RunError: The file holds something else, is damaged, or cannot be written.
    """
    with dspy.context(anytime_call_cache=current_call_cache() or CallCache(path)):
        yield


def current_call_cache() -> CallCache | None:
    """Returns the cache of the surrounding `keeping_calls`, None if there is none."""
    cache = dspy.settings.get("anytime_call_cache", None)
    return cache if isinstance(cache, CallCache) else None


def call_fingerprint(adapter: dspy.Adapter, call: PredictorCall, request: lm15.Request | None) -> str:
    """Returns a hash that is the same for the same call in every process: of what is sent, the model and its options.

    Args:
        adapter: The inner adapter, which makes the messages.
        call: The predictor's call.
        request: What is sent in place of these messages, if anything.
    """
    sent = call.messages(adapter) if request is None else request
    options = {name: value for name, value in call.options.items() if name == "rollout_id" or name not in NOT_SENT}
    return content_hash([type(adapter).__name__, str(call.lm.model), options, repr(sent)])
