"""Programs that older versions of DSPy saved, or other optimisers compiled, load as plain DSPy loads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.testing import chat, prompt_of, scripted_lm

REASONING = "Reasoning: Let's think step by step in order to"


def saved(folder: Path, *fields: tuple[str, str]) -> Path:
    """A program's file in DSPy 3.0's form, with these prefixes and descriptions."""
    signature = {
        "instructions": "Answer in one word.",
        "fields": [{"prefix": prefix, "description": description} for prefix, description in fields],
    }
    predict = {"traces": [], "train": [], "demos": [], "signature": signature, "lm": None}
    state = {"predict": predict, "metadata": {"dependency_versions": {"python": "3.10", "dspy": "3.0.4"}}}
    path = folder / "program.json"
    path.write_text(json.dumps(state))
    return path


def loaded(path: Path, signature: Any = "question -> answer") -> ad.Anytime:
    dspy.ChainOfThought(signature).load(path)  # plain DSPy takes it
    anytime = ad.Anytime(dspy.ChainOfThought(signature), (8,), answer_tokens=16)
    anytime.load(path)
    return anytime


QUESTION, THOUGHT, ANSWER = ("Question:", "${question}"), (REASONING, "${reasoning}"), ("Answer:", "${answer}")


@pytest.mark.parametrize(
    "fields",
    [
        (QUESTION, THOUGHT, ANSWER),
        (QUESTION, ("Reasoning:", "${reasoning}"), ("One word:", "${answer}")),
        (("Q", "${question}"), (REASONING, "${reasoning}"), ("", "${answer}")),
        (QUESTION, THOUGHT, ("Answer:", "often between 1 and 5 words")),
    ],
)
def test_programs_saved_by_older_dspy_or_compiled_by_copro_load(tmp_path, fields):
    anytime = loaded(saved(tmp_path, *fields))
    lm = scripted_lm(lambda request: chat(reasoning="so", answer="Rome"))
    with dspy.context(lm=lm):
        assert anytime(question="?").answer == "Rome"
    assert "Answer in one word." in prompt_of(lm.engine.requests[0])


def test_a_prefix_that_copro_changed_loads(tmp_path):
    compiled = dspy.ChainOfThought("question -> answer: int")
    changed = compiled.predict.signature.with_updated_fields("answer", prefix="One word:")
    compiled.predict.signature = changed.with_instructions("Be quick.")
    compiled.save(tmp_path / "copro.json")
    anytime = loaded(tmp_path / "copro.json", "question -> answer: int")
    assert anytime.predictors()[0].signature.instructions == "Be quick."
    again = ad.Anytime(dspy.ChainOfThought("question -> answer: int"), (8,)).load
    anytime.save(tmp_path / "again.json")
    again(tmp_path / "again.json")


@pytest.mark.parametrize(
    "fields",
    [
        (("Problem:", "${problem}"), THOUGHT, ANSWER),
        (QUESTION, THOUGHT, ("Answer:", "${reply}")),
        (QUESTION, THOUGHT, ("Reply:", "a number")),
        (THOUGHT, QUESTION, ANSWER),
        (QUESTION, ANSWER),
        (QUESTION, ("Context:", "${context}"), THOUGHT, ANSWER),
    ],
)
def test_the_state_of_another_program_is_still_refused(tmp_path, fields):
    anytime = ad.Anytime(dspy.ChainOfThought("question -> answer"), (8,))
    with pytest.raises(ad.ProgramError, match="made for another task"):
        anytime.load(saved(tmp_path, *fields))
