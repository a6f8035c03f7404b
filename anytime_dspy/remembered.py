"""What an adapter says of a signature, said once: DSPy puts the same system message together for every call."""

from __future__ import annotations

import copy
from functools import lru_cache, partial
from typing import Any, cast

import dspy

__all__ = ["KNOWN", "remembering"]

# What these say of a signature follows from it alone. Another adapter may say anything.
KNOWN = (dspy.ChatAdapter, dspy.JSONAdapter, dspy.XMLAdapter)


def remembering(adapter: dspy.Adapter) -> dspy.Adapter:
    """Returns a copy of an adapter that writes a signature's system message once; another kind of adapter as it is."""
    if type(adapter) not in KNOWN:
        return adapter
    made: Any = copy.copy(adapter)
    made.format_system_message = partial(_of, type(adapter))
    return cast(dspy.Adapter, made)


def _of(kind: type[dspy.Adapter], signature: type[dspy.Signature]) -> str:
    # Some optimisers write new instructions into a signature that is there.
    return _system_message(cast(Any, kind), cast(Any, signature), signature.instructions)


@lru_cache(maxsize=256)
def _system_message(kind: Any, signature: Any, instructions: str) -> str:
    return str(kind().format_system_message(signature))
