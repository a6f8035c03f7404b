"""What an adapter says of a signature, said once: DSPy puts the same text together for every call."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, cast

import dspy

__all__ = ["KNOWN", "remembering"]

# What these say of a signature follows from it alone. Another adapter may say anything.
KNOWN = (dspy.ChatAdapter, dspy.JSONAdapter, dspy.XMLAdapter)

_MARK = "\0"


def remembering(adapter: dspy.Adapter) -> dspy.Adapter:
    """Returns a copy of an adapter that writes once what follows from a signature; another kind of adapter as it is."""
    kind = type(adapter)
    if kind not in KNOWN:
        return adapter
    made: Any = object.__new__(kind)  # as copy.copy does, in a fifth of the time
    made.format_system_message = partial(_system, kind)
    made.format_user_message_content = partial(_user, adapter)
    made.__dict__.update(vars(adapter))
    return cast(dspy.Adapter, made)


def _system(kind: Any, signature: type[dspy.Signature]) -> str:
    return _system_message(kind, cast(Any, signature), signature.__doc__)


@lru_cache(maxsize=256)  # some optimisers write new instructions into a signature that is there
def _system_message(kind: Any, signature: Any, instructions: str | None) -> str:
    return str(kind().format_system_message(signature))


def _user(adapter: Any, signature: Any, inputs: Mapping[str, Any], *args: Any, **options: Any) -> str:
    """Writes a user message; where all values are plain text, each as it is into a form that DSPy wrote once."""
    if any(type(value) is not str for value in inputs.values()):
        return str(adapter.format_user_message_content(signature, inputs, *args, **options))
    parts = list(_form(cast(Any, type(adapter)), signature, tuple(inputs), args, tuple(options.items())))
    parts[1::2] = [inputs[name] for name in parts[1::2]]
    return "".join(parts).strip()


@lru_cache(maxsize=256)
def _form(kind: Any, signature: Any, names: Any, args: Any, options: Any) -> tuple[str, ...]:
    """Returns a user message as a text, the name of a field, a text, and so on."""
    inputs = {name: f"{_MARK}{name}{_MARK}" for name in names}
    return tuple(kind().format_user_message_content(signature, inputs, *args, **dict(options)).split(_MARK))
