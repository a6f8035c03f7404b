"""An embedded model as a dspy.LM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dspy

from anytime_dspy.local.engine import LlamaEngine
from anytime_dspy.local.models import file_digest, model_name, model_path

__all__ = ["local_lm"]


def local_lm(name_or_path: str | Path, *, slots: int = 1, context: int = 8192, **kwargs: Any) -> dspy.LM:
    """Returns a `dspy.LM` that runs inside this process, without a network and without a key.

    It is loaded by its first call, and shared by every LM of the same file, slots and context. Its name carries the
    file's hash, since DSPy's cache tells LMs apart by their names alone.

    Args:
        name_or_path: A name in `MODELS` that was pulled, or the path of a .gguf file.
        slots: Requests that are decoded together; with one, greedy and seeded replies repeat.
        context: Tokens of prompt and reply that one slot holds.
        **kwargs: As for `dspy.LM`. Without a temperature decoding is greedy; without max_tokens a reply may go on to
            the end of the context.

    Raises:
        ModelError: The model was not pulled, or there is no such file.
    """
    path = model_path(name_or_path)
    engine = LlamaEngine(path, slots=slots, context=context)
    name = f"local/{model_name(path) or path.stem}@{file_digest(path)[:8]}"
    return dspy.LM(name, engine=engine, async_engine=engine.async_engine, **kwargs)
