from __future__ import annotations

import math
import random
from dataclasses import replace

import dspy
import pytest
from dspy.lm15 import TokenLogprob, TopLogprob
from hypothesis import given
from hypothesis import strategies as st

from anytime_dspy.errors import ModelError
from anytime_dspy.optimizers.judges.answer_cache import AnswerCache
from anytime_dspy.optimizers.judges.base import RELIABLE
from anytime_dspy.optimizers.judges.confidence import RELIABILITY_PAIRS, Confidence
from anytime_dspy.optimizers.judges.probabilities import yes_probability
from anytime_dspy.testing import ScriptedEngine, question_of, scripted_lm
from tests.optimizers.made import group


class ListeningEngine(ScriptedEngine):
    """Says "Yes" and gives that word the log-probability that `belief(prompt)` has; None gives other words alone."""

    supported_params = ScriptedEngine.supported_params | {"logprobs", "top_logprobs"}

    def __init__(self, belief, gives=True):
        super().__init__(lambda request: "Yes")
        self._belief, self._gives = belief, gives

    def complete(self, request):
        response = super().complete(request)
        return replace(response, logprobs=(self._first(request),)) if self._gives else response

    def _first(self, request):
        assert request.config.logprobs
        yes = self._belief(question_of(request))
        said = {"The": 0.9, "So": 0.1} if yes is None else {"Yes": 0.9 * yes, "No": 0.9 * (1 - yes), "The": 0.1}
        top = tuple(TopLogprob(token=word, logprob=math.log(p)) for word, p in said.items() if p)
        return TokenLogprob(token=top[0].token, logprob=top[0].logprob, top=top)


def listening(belief, gives=True):
    return dspy.LM("listening/one", engine=ListeningEngine(belief, gives), cache=False)


def finals(*answers, **options):
    return group(*((answer,) for answer in answers), **options)


def believes(answer, yes, no):
    return lambda prompt: yes if f'"answer": "{answer}"' in prompt else no


VOTED = [finals("a", "a", "a", "b", problem=str(place), index=place) for place in range(RELIABILITY_PAIRS)]


def test_a_trace_scores_the_probability_that_its_answer_is_correct():
    [scores] = Confidence(listening(believes("a", 0.75, 0.25))).scores([group(("a", "b"), (None, "a"))]).scores
    assert scores == (pytest.approx((0.75, 0.25)), pytest.approx((0.0, 0.75)))


def test_each_answer_is_asked_about_once_and_its_cost_counted():
    judge = Confidence(listening(believes("a", 0.9, 0.1)))
    judgement = judge.scores([group(("a", "b"), ("b", "a"), ("A ", "b"))])
    assert judgement.usage.calls == len(judge.lm.engine.requests) == 2
    assert judgement.usage.answer_tokens == 2
    assert judgement.usage.prompt_tokens > 0


def test_an_answer_of_which_the_lm_says_neither_word_is_undecided():
    [scores] = Confidence(listening(believes("a", None, 0.5))).scores([finals("a", "b")]).scores
    assert scores == ((None,), pytest.approx((0.5,)))


def test_a_judge_that_finds_the_voted_answer_likelier_is_reliable():
    assert Confidence(listening(believes("a", 0.6, 0.4))).reliability(VOTED).value == 1.0


@pytest.mark.parametrize("belief", [lambda prompt: 0.9, believes("a", 0.1, 0.9), lambda prompt: None])
def test_a_judge_that_does_not_is_not(belief):
    assert Confidence(listening(belief)).reliability(VOTED).value == 0.0


@pytest.mark.slow
def test_a_judge_that_guesses_is_hardly_reliable():
    dice = random.Random(1)
    values = [Confidence(listening(lambda prompt: dice.random())).reliability(VOTED).value for _ in range(40)]
    assert sum(value >= RELIABLE for value in values) <= 8


def test_where_no_answer_has_more_votes_nothing_is_asked():
    judge = Confidence(listening(believes("a", 0.6, 0.4)))
    assert judge.reliability([finals("a", "b"), finals("c", "c")]).value == 0.0
    assert not judge.lm.engine.requests


def test_an_lm_without_log_probabilities_is_not_called():
    judge = Confidence(scripted_lm(lambda request: "Yes"))
    reliability = judge.reliability(VOTED)
    assert reliability.value == 0.0
    assert "gives no log-probabilities" in reliability.measured
    with pytest.raises(ModelError, match="use the judge 'agreement' or 'pairwise'"):
        judge.scores(VOTED)
    assert not judge.lm.engine.requests


def test_an_lm_that_leaves_log_probabilities_out_is_called_no_second_time():
    judge = Confidence(listening(lambda prompt: 0.5, gives=False))
    reliability = judge.reliability(VOTED)
    assert (reliability.value, reliability.usage.calls) == (0.0, 1)
    with pytest.raises(ModelError, match="no log-probabilities"):
        judge.scores(VOTED)
    assert len(judge.lm.engine.requests) == 2


def test_an_lm_that_refuses_to_give_them_is_asked_once():
    asked = []

    def refuse(prompt):
        asked.append(prompt)
        raise dspy.lm15.InvalidRequestError("logprobs are not supported")

    reliability = Confidence(listening(refuse)).reliability(VOTED)
    assert (reliability.value, len(asked)) == (0.0, 1)
    assert "logprobs are not supported" in reliability.measured


def test_a_question_that_fails_leaves_its_answer_undecided(caplog):
    def broken(prompt):
        if '"b"' in prompt:
            raise dspy.lm15.ServerError("overloaded")
        return 0.8

    lm = listening(broken)
    lm.num_retries = 0
    [scores] = Confidence(lm).scores([finals("a", "b")]).scores
    assert scores == (pytest.approx((0.8,)), (None,))
    assert "overloaded" in caplog.text


def test_what_was_said_is_kept_and_counted_as_paid(tmp_path):
    def judge():
        return Confidence(listening(believes("a", 0.75, 0.25)), memo=AnswerCache(tmp_path / "judged.jsonl"))

    first = judge()
    judged = first.scores(VOTED)
    again = judge()
    said_again = again.scores(VOTED)
    assert (said_again.scores, said_again.usage.calls) == (judged.scores, judged.usage.calls)
    assert (len(first.lm.engine.requests), len(again.lm.engine.requests)) == (32, 0)


logprobs = st.floats(-30, 0)


@given(st.dictionaries(st.sampled_from(["Yes", "yes", " YES", "No", " no", "The"]), logprobs, min_size=1))
def test_the_probability_stays_in_its_range_and_mirrors(alternatives):
    swap = {"Yes": "No", "yes": " no", " YES": "NO", "No": "Yes", " no": "yes", "The": "The"}
    probability = yes_probability(alternatives)
    mirrored = yes_probability({swap[word]: value for word, value in alternatives.items()})
    assert (probability is None) == (set(alternatives) == {"The"})
    if probability is not None:
        assert 0.0 <= probability <= 1.0
        assert mirrored == pytest.approx(1 - probability)
