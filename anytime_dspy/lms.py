"""An LM by its name: an embedded model's, the path of a .gguf file, or a provider's."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import dspy

from anytime_dspy.errors import ModelError
from anytime_dspy.profiling import phase

__all__ = ["check_engine", "is_embedded", "open_lm", "threads_for"]

PROVIDER_THREADS = 16


def open_lm(
    model: str, *, threads: int, temperature: float | None = None, reasoning_effort: str | None = None
) -> dspy.LM:
    """Returns an LM by its name. An embedded model is pulled if it is not there yet, and loaded.

    Args:
        model: A name in `MODELS`, the path of a .gguf file, or any name that `dspy.LM` takes.
        threads: Calls that an embedded model takes at the same time.
        temperature: None for greedy replies, or the model's default if it does not take a temperature.
        reasoning_effort: None for the model's default.

    Raises:
        ModelError: There is no such model, it cannot be pulled, or it does not take one of the options.
    """
    from anytime_dspy.local import MODELS, local_lm

    if is_embedded(model):
        if reasoning_effort is not None:
            raise ModelError(f"{model} is an embedded model, which has no reasoning effort: leave it out")
        lm = local_lm(_embedded_file(model), slots=threads, temperature=temperature or 0.0)
        with phase("loading the model"):
            lm.engine.counter.count("a")
        return lm
    if "/" not in model:
        raise ModelError(
            f"there is no embedded model {model!r} (there are {', '.join(MODELS)}); write a provider's model as "
            "provider/model, such as openai/gpt-4o-mini, and a file as path/to/file.gguf"
        )
    options = {} if reasoning_effort is None else {"reasoning_effort": reasoning_effort}
    try:
        # Whether a model takes 0.0 shows at its first call: see `acceptance`.
        return dspy.LM(model, temperature=temperature or 0.0, **options)
    except dspy.LMConfigurationError as error:
        if temperature is None:
            return dspy.LM(model, **options)
        raise ModelError(
            f"{model} takes no temperature but 1, DSPy says: leave --temperature={temperature} out"
        ) from error


def threads_for(model: str) -> int:
    """Returns how many examples to run at the same time on a model, unless the user says it.

    Raises:
        ModelError: There is no such model, or it cannot be pulled.
    """
    if not is_embedded(model):
        return PROVIDER_THREADS
    from anytime_dspy.local.lm import engine_for

    return engine_for(_embedded_file(model)).best_slots


def is_embedded(model: str) -> bool:
    """Whether a name is that of an embedded model or of a .gguf file."""
    from anytime_dspy.local import MODELS

    return model in MODELS or model.endswith(".gguf")


def check_engine(model: str) -> None:
    """Checks that something here can run an embedded model, before half a gigabyte is pulled for it.

    Raises:
        ModelError: No engine is installed.
    """
    from anytime_dspy.local import openvino_server

    if not (find_spec("xllamacpp") or openvino_server.is_available()):
        raise ModelError(
            f"{model} runs in this process, which needs an engine: pip install 'anytime-dspy[local]', or name a "
            "provider's model, such as openai/gpt-4o-mini"
        )


def _embedded_file(model: str) -> Path:
    from anytime_dspy.local import MODELS, installed, model_path, pull

    check_engine(model)
    if model in MODELS and not installed(model):
        return pull(model)
    return model_path(model)
