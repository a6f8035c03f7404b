"""One call of a predictor: the arguments that DSPy hands to an adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dspy

from anytime_dspy.calls.acceptance import cap_key

__all__ = ["NOT_SENT", "PredictorCall"]

NOT_SENT = frozenset(
    {"rollout_id", "cache", "prompt_cache", "n", "num_generations", "api_key", "api_base", "base_url", "timeout"}
)
"""Options of an LM that are no part of the request's body."""


@dataclass(frozen=True)
class PredictorCall:
    """The arguments of one `dspy.Adapter.__call__`."""

    lm: Any
    lm_kwargs: Mapping[str, Any]
    signature: type[dspy.Signature]
    demos: Sequence[Any]
    inputs: Mapping[str, Any]

    @property
    def options(self) -> dict[str, Any]:
        """The options that the LM is called with: its own, and over them those of this call."""
        return {**self.lm.kwargs, **self.lm_kwargs}

    def messages(self, adapter: dspy.Adapter) -> list[dict[str, Any]]:
        """Returns the prompt in an adapter's format."""
        messages: list[dict[str, Any]] = adapter.format(self.signature, list(self.demos), dict(self.inputs))
        return messages

    def cap(self, tokens: int) -> int:
        """Returns the cap that is sent where `tokens` are allowed: the user's own, where that is lower."""
        options = self.options
        own = options.get(cap_key(options))
        return tokens if own is None else min(own, tokens)

    def capped(self, tokens: int) -> PredictorCall:
        """Returns the same call with its reply capped; see `cap`."""
        options = {**self.lm_kwargs, cap_key(self.options): self.cap(tokens)}
        return PredictorCall(self.lm, options, self.signature, self.demos, self.inputs)
