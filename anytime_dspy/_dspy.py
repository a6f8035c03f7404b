"""All that this library takes from DSPy's and litellm's inner modules, so that a new version is a change in one place.

`tests/test_import_graph.py` checks that no other module imports them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dspy import lm15
from dspy.adapters.types.base_type import CUSTOM_TYPE_END_IDENTIFIER, CUSTOM_TYPE_START_IDENTIFIER
from dspy.adapters.utils import parse_value
from dspy.clients import DISK_CACHE_DIR
from dspy.predict.parameter import Parameter

CUSTOM_TYPE = CUSTOM_TYPE_START_IDENTIFIER, CUSTOM_TYPE_END_IDENTIFIER
"""What stands in a prompt's text before and after a value of one of DSPy's own types."""

__all__ = ["CUSTOM_TYPE", "Parameter", "cache_folder", "litellm_tokenizer", "lm15", "parse_value"]


def cache_folder() -> Path:
    """Returns the folder of DSPy's cache on disk, unless a program has configured another."""
    return Path(DISK_CACHE_DIR)


def litellm_tokenizer(model: str) -> Any:
    """Returns the tokenizer that litellm has for a model.

    Held by the caller, since litellm would try again for each text where a tokenizer cannot be fetched.
    """
    from litellm.utils import _select_tokenizer

    return _select_tokenizer(model=model)
