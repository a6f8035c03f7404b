from __future__ import annotations

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.optimizers.prompts.style_proposals import proposed_styles
from anytime_dspy.optimizers.traces.sampling import Sampling, sample_traces
from anytime_dspy.optimizers.traces.styles import STYLES
from anytime_dspy.testing import chat, prompt_of, scripted_lm
from tests.fakes.programs import Pipeline


def student(program=None):
    return ad.Anytime(program or dspy.ChainOfThought("question -> answer"), (4, 8), answer_tokens=16)


def proposed(text, k=3, program=None):
    lm = scripted_lm(lambda request: chat(sentences=text))
    with dspy.context(lm=lm):
        return proposed_styles(program or student(), k), lm


def test_an_lm_proposes_styles_in_one_call_and_what_it_says_twice_is_one():
    text = "1. Write equations only.\n- write equations only\n\n* **Say the answer first.**\n- A third.\n- A fourth."
    found, lm = proposed(text)
    assert [style.render("Add.", (4, 8)) for style in found.kept] == [
        "Add.\n\nWrite equations only.",
        "Add.\n\nSay the answer first.",
        "Add.\n\nA third.",
    ]
    assert [style.name for style in found.kept] == ["proposed 1", "proposed 2", "proposed 3"]
    assert found.usage.calls == len(lm.engine.requests) == 1
    assert "4, 8" in prompt_of(lm.engine.requests[0])


@pytest.mark.parametrize(
    "text", ["", "Given the fields `question`, produce the fields `answer`.", "word " * 100, "- 16\n- 32"]
)
def test_what_is_no_style_is_none(text):
    assert proposed(text)[0].kept == ()


def test_an_lm_that_fails_proposes_nothing():
    def broken(request):
        raise dspy.lm15.ServerError("overloaded")

    with dspy.context(lm=scripted_lm(broken, num_retries=0)):
        assert proposed_styles(student(), 2).kept == ()


def test_traces_are_sampled_under_proposals_too():
    found, _ = proposed("- Think backwards.", program=student(Pipeline(2)))
    lm = scripted_lm(lambda _: chat(reasoning="so", answer="late"))
    with dspy.context(lm=lm):
        traces = sample_traces(
            student(),
            [dspy.Example(question="?").with_inputs("question")],
            Sampling(samples=4, styles=(*STYLES, *found.kept)),
        )
    assert traces[-1].style == "proposed 1"
    assert sum("Think backwards." in prompt_of(request) for request in lm.engine.requests) == 1
