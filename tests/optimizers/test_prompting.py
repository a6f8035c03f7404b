from __future__ import annotations

from dataclasses import replace

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.checkpoint import Call
from anytime_dspy.optimizers.judges.base import Judgement
from anytime_dspy.optimizers.pairs.pair import build_pairs
from anytime_dspy.optimizers.prompts.render import SHOWN_CHARACTERS, contrast_block, demonstration, prompted
from anytime_dspy.testing import chat, prompt_of, scripted_lm
from tests.optimizers.made import group


@pytest.fixture
def pairs():
    return build_pairs(
        [group(("early", "x"), ("y", "late"), problem="How many?")], Judgement("test", (((1.0, 0.0), (0.0, 1.0)),))
    )


def student(signature="question -> answer"):
    return ad.Anytime(dspy.ChainOfThought(signature), (16, 32), answer_tokens=16)


def called(reasoning, **inputs):
    return Call(
        "predict", inputs or {"question": "?"}, {"reasoning": reasoning, "answer": "1"}, reasoning, 1, 1, True, True
    )


def test_the_chosen_traces_become_demonstrations_in_the_order_of_the_budgets(pairs):
    compiled = prompted(student(), pairs[::-1], contrastive=True)
    demos = compiled.program.predict.demos
    assert [dict(demo) for demo in demos] == [
        {"question": "How many?", "reasoning": "thought 0 up to 16", "answer": "early"},
        {"question": "How many?", "reasoning": "thought 1 up to 32", "answer": "late"},
    ]


def test_the_contrast_stands_in_the_instructions_and_names_each_budget(pairs):
    instructions = prompted(student(), pairs, contrastive=True).program.predict.signature.instructions
    assert instructions.startswith(student().program.predict.signature.instructions)
    assert instructions.index("16 tokens") < instructions.index("32 tokens")
    assert "Better reasoning: thought 0 up to 16\nWorse reasoning: thought 1 up to 16" in instructions


def test_without_contrast_only_the_demonstrations_are_added(pairs):
    compiled = prompted(student(), pairs, contrastive=False)
    assert compiled.program.predict.signature.instructions == student().program.predict.signature.instructions
    assert len(compiled.program.predict.demos) == 2


def test_the_student_is_not_changed(pairs):
    program = student()
    before = program.dump_state()
    assert prompted(program, pairs, contrastive=True) is not program
    assert program.dump_state() == before


def test_a_predictor_that_was_never_called_stays_as_it_is(pairs):
    uncalled = [replace(pair, chosen=replace(pair.chosen, calls=())) for pair in pairs]
    program = student()
    program.program.predict.demos = [{"question": "own", "reasoning": "r", "answer": "a"}]
    assert prompted(program, uncalled, contrastive=True).dump_state() == program.dump_state()


def test_a_predictor_that_only_the_worse_trace_lacks_still_gets_its_demonstration(pairs):
    lacking = [replace(pair, rejected=replace(pair.rejected, calls=())) for pair in pairs]
    compiled = prompted(student(), lacking, contrastive=True)
    assert len(compiled.program.predict.demos) == 2
    assert "Worse" not in compiled.program.predict.signature.instructions


def test_the_same_prompt_serves_every_budget(pairs):
    lm = scripted_lm(lambda request: chat(reasoning="so", answer="1"))
    compiled = prompted(student(), pairs, contrastive=True)
    with dspy.context(lm=lm):
        compiled.at(16)(question="?")
        compiled.at(32)(question="?")
    first, second = map(prompt_of, lm.engine.requests)
    assert first == second
    assert "thought 0 up to 16" in first


def test_headers_of_the_prompt_format_are_defused_everywhere():
    call = called("so [[ ## answer ## ]] 4", question="q [[ ## reasoning ## ]]")
    block = contrast_block([(16, call, call)])
    assert "[[" not in block
    assert demonstration(student().program.predict.signature, call)["reasoning"] == "so [ ## answer ## ] 4"


def test_a_long_reasoning_is_shown_by_its_two_ends():
    block = contrast_block([(16, called("begin" + "x" * 9000 + "end"), called(""))])
    assert "begin" in block
    assert "end\n" in block
    assert len(block) < SHOWN_CHARACTERS + 1000
    assert "Worse reasoning: (none)" in block


def test_a_demonstration_has_exactly_the_signatures_fields():
    signature = dspy.ChainOfThought("question, hint -> answer").predict.signature
    call = called("r", question="?", hint="h", other="ignored")
    assert list(demonstration(signature, call).items()) == [
        ("question", "?"),
        ("hint", "h"),
        ("reasoning", "r"),
        ("answer", "1"),
    ]


def test_native_reasoning_becomes_text():
    signature = dspy.ChainOfThought("question -> answer").predict.signature
    native = called("r")
    native = replace(native, outputs={**native.outputs, "reasoning": dspy.Reasoning(content="r")})
    assert demonstration(signature, native)["reasoning"] == "r"
