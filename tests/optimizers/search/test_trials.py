"""One trial: what it scores, and what it has paid where an example fails."""

from __future__ import annotations

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.errors import AnytimeError
from anytime_dspy.optimizers.search.trials import Evaluation, Slots
from anytime_dspy.testing import chat, scripted_lm
from tests.fakes.scored import METRIC, questions


def test_what_a_failed_trial_has_paid_is_counted_and_kept():
    lm = scripted_lm(lambda request: chat(reasoning="one", answer="1"))

    class Moody(dspy.Module):
        def __init__(self):
            super().__init__()
            self.predict = dspy.ChainOfThought("question -> answer")

        def forward(self, question):
            answer = self.predict(question=question)
            if question == "question 3":
                raise OSError("overloaded")
            return answer

    examples = dict(enumerate(questions(8)))
    evaluation = Evaluation(examples, METRIC, Slots(2))
    with dspy.context(lm=lm), pytest.raises(OSError, match="overloaded"):
        evaluation(ad.Anytime(Moody(), (8, 16)))
    assert evaluation.scores == dict.fromkeys(examples.keys() - {3}, 1.0)
    assert evaluation.usage.calls == len(lm.engine.requests) == 8


@pytest.mark.parametrize("metric", [METRIC, ad.AnytimeIndex(lambda example, prediction: 7.0)])
def test_an_error_that_ends_the_race_lets_no_further_example_begin(metric):
    """A disk that is full, or a metric that cannot score: whatever is asked after that would be paid for in vain."""
    lm = scripted_lm(lambda request: chat(reasoning="one", answer="1"))

    class Full(dspy.Module):
        def __init__(self):
            super().__init__()
            self.predict = dspy.ChainOfThought("question -> answer")

        def forward(self, question):
            answer = self.predict(question=question)
            if metric is METRIC:
                raise AnytimeError("the disk is full")
            return answer

    with dspy.context(lm=lm), pytest.raises(AnytimeError, match=r"the disk is full|7\.0"):
        Evaluation(dict(enumerate(questions(8))), metric, Slots(1))(ad.Anytime(Full(), (8, 16)))
    assert len(lm.engine.requests) == 1
