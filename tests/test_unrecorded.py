"""LMs whose calls leave no trace in DSPy's history."""

from __future__ import annotations

import asyncio

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.testing import chat, scripted_lm


class Overrides(dspy.BaseLM):
    """An LM that answers by itself."""

    def __init__(self) -> None:
        super().__init__(model="mine/model")

    def __call__(self, prompt=None, messages=None, **kwargs):
        return [chat(reasoning="so", answer="42")]

    async def acall(self, prompt=None, messages=None, **kwargs):
        return self(prompt, messages, **kwargs)


def test_an_lm_that_overrides_call_is_named_as_the_cause():
    program = dspy.ChainOfThought("question -> answer")
    with dspy.context(lm=Overrides()):
        assert program(question="?").answer == "42"  # plain DSPy reads what it returns
        for run in (lambda: program(question="?"), lambda: asyncio.run(program.acall(question="?"))):
            with ad.budget(20), pytest.raises(ad.ProgramError) as refused:
                run()
            assert "Overrides answers without recording its calls" in str(refused.value)
            assert "override forward" in str(refused.value)
            assert "disable_history" not in str(refused.value)


def test_an_lm_that_overrides_call_and_passes_it_on_works():
    class Passes(dspy.LM):
        def __call__(self, *args, **kwargs):
            return super().__call__(*args, **kwargs)

    engine = scripted_lm([chat(reasoning="so", answer="42")]).engine
    with dspy.context(lm=Passes("scripted/passes", engine=engine, cache=False)), ad.budget(20) as spent:
        assert dspy.ChainOfThought("question -> answer")(question="?").answer == "42"
    assert spent.reasoning == 1


@pytest.mark.parametrize("off", [{"disable_history": True}, {"max_history_size": 0}])
def test_a_history_that_is_switched_off_is_named_as_the_cause(off):
    lm = scripted_lm([chat(reasoning="so", answer="42")])
    with dspy.context(lm=lm, **off), ad.budget(20), pytest.raises(ad.ProgramError) as refused:
        dspy.ChainOfThought("question -> answer")(question="?")
    assert "max_history_size above 0" in str(refused.value)
    assert "override" not in str(refused.value)
