from __future__ import annotations

import dspy
import pytest

from anytime_dspy.errors import ModelError
from anytime_dspy.local import local_lm


@pytest.fixture(scope="session")
def lm() -> dspy.LM:
    """The smallest model, on the one slot that `smallest_lm` has too: both share a server."""
    try:
        return local_lm("smollm2-135m-instruct", cache=False, max_tokens=24)
    except ModelError as error:
        pytest.skip(str(error))
