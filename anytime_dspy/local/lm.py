"""An embedded model as a dspy.LM."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import dspy

from anytime_dspy.errors import ModelError
from anytime_dspy.local import openvino_server
from anytime_dspy.local.engine import EmbeddedEngine, LlamaEngine, OpenVinoEngine
from anytime_dspy.local.models import file_digest, model_name, model_path

__all__ = ["EngineName", "engine_for", "local_lm"]

EngineName = Literal["auto", "llama.cpp", "openvino"]


def local_lm(
    name_or_path: str | Path,
    *,
    slots: int | None = None,
    context: int = 8192,
    engine: EngineName = "auto",
    **kwargs: Any,
) -> dspy.LM:
    """Returns a `dspy.LM` that runs inside this process, without a network and without a key.

    The model is loaded by the first call, and shared by all LMs of the same file, slots and context. The LM's name has
    the file's hash, and the engine if that is not llama.cpp, since DSPy's cache identifies LMs by their names.

    Args:
        name_or_path: A name in `MODELS` that was pulled, or the path of a .gguf file.
        slots: Requests that are decoded in one batch; by default 1 with llama.cpp, where more of them change the
            rounding, and 48 with OpenVINO, where they hardly do.
        context: Tokens of prompt and reply that one slot holds.
        engine: "auto" is OpenVINO for the models that were tested with it, if `anytime-dspy[openvino]` is installed,
            and llama.cpp otherwise.
        **kwargs: As for `dspy.LM`. Without a temperature decoding is greedy; without max_tokens a reply may go on to
            the end of the context.

    Raises:
        ModelError: The model was not pulled, there is no such file, or the engine is not installed.
    """
    path = model_path(name_or_path)
    kind = engine_for(path, engine)
    made = kind(path, slots=slots, context=context)
    suffix = "+openvino" if kind is OpenVinoEngine else ""
    name = f"local/{model_name(path) or path.stem}@{file_digest(path)[:8]}{suffix}"
    return dspy.LM(name, engine=made, async_engine=made.async_engine, **kwargs)


def engine_for(path: Path, engine: EngineName = "auto") -> type[EmbeddedEngine]:
    """Returns the engine's class that `local_lm` uses for a model's file.

    Raises:
        ModelError: There is no such engine, or it is not installed.
    """
    if engine not in ("auto", "llama.cpp", "openvino"):
        raise ModelError(f"there is no engine {engine!r}: choose auto, llama.cpp or openvino")
    available = openvino_server.is_available()
    if engine == "openvino" and not available:
        raise ModelError("OpenVINO is not installed: pip install 'anytime-dspy[openvino]'")
    tried = available and (model_name(path) or "").startswith("qwen2.5")
    return OpenVinoEngine if engine == "openvino" or (engine == "auto" and tried) else LlamaEngine
