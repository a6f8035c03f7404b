"""A program's predictors are those that DSPy finds, and finding them costs no more after a long run."""

from __future__ import annotations

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.runtime.predictors import named_predictors
from tests.fakes.programs import frozen

DEMO = dspy.Example(question="a?", reasoning="so", answer="b").with_inputs("question")


class _Never(list):
    def __iter__(self):
        raise AssertionError("the calls of a long run are looked through")


class _Many(dspy.Module):
    def __init__(self):
        self.one = dspy.ChainOfThought("question -> answer")
        self.same = self.one.predict
        self.listed = [dspy.Predict("question -> answer"), [dspy.Predict("question -> answer")], 7]
        self.keyed = {"a": dspy.ReAct("question -> answer", tools=[]), 2: self.one}
        self.frozen = frozen(dspy.ChainOfThought("question -> answer"), DEMO)


@pytest.mark.parametrize(
    "program",
    [
        dspy.Predict("question -> answer"),
        dspy.ChainOfThought("question -> answer"),
        _Many(),
        ad.Anytime(_Many()),
        ad.Anytime(dspy.Predict("question -> answer")).at(64),
    ],
)
def test_they_are_those_that_dspy_finds(program):
    assert named_predictors(program) == program.named_predictors()
    assert named_predictors(program)


def test_the_calls_made_so_far_are_not_looked_through():
    program = _Many()
    program.history = program.one.history = _Never([{}])
    assert len(named_predictors(program)) == len(_Many().named_predictors())
