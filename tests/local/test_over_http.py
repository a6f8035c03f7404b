"""The same model inside this process and behind llama.cpp's own OpenAI-compatible server: the same sweeps."""

from __future__ import annotations

from collections.abc import Iterator

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.local.engine import LlamaEngine
from anytime_dspy.programs import get_task

pytestmark = pytest.mark.local_lm

EXAMPLES = 3
OPTIONS = {"temperature": 0.0, "max_tokens": 256, "cache": False}


class RestatingEngine(LlamaEngine):
    """The embedded engine, asked for its answers as a server is that cannot go on with a message."""

    can_continue = False


@pytest.fixture(scope="module")
def engine() -> RestatingEngine:
    return RestatingEngine("smollm2-135m-instruct")


@pytest.fixture(scope="module")
def served(engine: RestatingEngine) -> Iterator[dspy.LM]:
    """An LM that reaches the engine's server over its port, and counts as it does."""
    server = engine.server
    lm = dspy.LM("openai/smollm2", api_base=f"{server.address}/v1", api_key=server.key, **OPTIONS)
    lm.counter = engine.counter
    yield lm
    lm.close()


def test_sweeps_over_http_equal_sweeps_in_this_process(engine, served):
    task = get_task("word_problems")
    program = ad.Anytime(task.program(), (16, 48), answer_tokens=32)
    inside = dspy.LM("local/smollm2", engine=engine, **OPTIONS)
    for example in task.generate(EXAMPLES, seed=3):
        with dspy.context(lm=inside):
            expected = program(problem=example.problem).checkpoints
        with dspy.context(lm=served):
            checkpoints = program(problem=example.problem).checkpoints
        for checkpoint, there in zip(checkpoints, expected, strict=True):
            assert checkpoint.prediction.toDict() == there.prediction.toDict()
            assert checkpoint.reasoning_tokens == there.reasoning_tokens <= checkpoint.budget
            assert (checkpoint.forced, checkpoint.answered) == (there.forced, there.answered)
            assert checkpoint.usage.prompt_tokens == there.usage.prompt_tokens
