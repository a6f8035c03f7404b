"""Small language models that run inside this process: no key, no network, exact token counts."""

from anytime_dspy.local.engine import LlamaEngine, OpenVinoEngine
from anytime_dspy.local.lm import local_lm
from anytime_dspy.local.models import MODELS, EmbeddedModel, installed, model_path, models_folder
from anytime_dspy.local.pull import pull

__all__ = [
    "MODELS",
    "LlamaEngine",
    "EmbeddedModel",
    "OpenVinoEngine",
    "installed",
    "local_lm",
    "model_path",
    "models_folder",
    "pull",
]
