"""Traces that use their whole input vote alone, and are squeezed first."""

from __future__ import annotations

from anytime_dspy.optimizers.judges.agreement import Agreement
from anytime_dspy.optimizers.judges.base import Judgement
from anytime_dspy.optimizers.pairs.squeezed import targets
from anytime_dspy.optimizers.traces.trace import TraceGroup
from tests.optimizers.made import trace

STEPS = ["3 * 4 = 12 and 12 + 5 = 17", "3 * 4 = 12", "3 * 4 = 12, so 12", "so 3 * 4 + 5 = 17"]


def solved(*answers, reasonings=STEPS):
    traces = [
        trace(answer, sample=sample, reasonings=[text], problem="3 bags of 4, and 5 more")
        for sample, (answer, text) in enumerate(zip(answers, reasonings, strict=True))
    ]
    return TraceGroup(0, "", {"problem": "3 bags of 4, and 5 more"}, tuple(traces))


def test_traces_that_use_the_whole_input_vote_alone():
    [scores] = Agreement().scores([solved("17", "12", "12", "17")]).scores
    assert scores == ((1.0,), (0.0,), (0.0,), (1.0,))


def test_a_number_that_is_only_repeated_is_not_used():
    repeated = "3 bags of 4, and 5 more. 3 * 4 = 12"
    [scores] = (
        Agreement().scores([solved("17", "12", "12", "17", reasonings=[STEPS[0], repeated, repeated, STEPS[3]])]).scores
    )
    assert scores == ((1.0,), (0.0,), (0.0,), (1.0,))


def test_one_trace_that_uses_the_whole_input_does_not_decide_alone():
    [scores] = Agreement().scores([solved("17", "12", "12", "12", reasonings=[*STEPS[:3], STEPS[1]])]).scores
    assert scores == ((1 / 4,), (3 / 4,), (3 / 4,), (3 / 4,))


def test_traces_of_earlier_rounds_vote_too_if_they_use_the_whole_input():
    earlier = solved("17", "12", "12", "18")
    [scores] = Agreement(earlier=(earlier,)).scores([solved("17", "12", "12", "18")]).scores
    assert scores == ((1 / 2,), (0.0,), (0.0,), (1 / 2,))
    assert Agreement().scores([solved("17", "12", "12", "18")]).scores[0][0] == (None,)


def test_of_right_traces_the_one_that_uses_the_whole_input_is_squeezed_first():
    judged = solved("17", "17", "17", "17", reasonings=["17", STEPS[0], STEPS[3], "17"])
    judgement = Judgement("metric", (((1.0,),) * 4,))
    lengths = [trace.checkpoints[-1].reasoning_tokens for trace in judged.traces]
    order = [targets([judged], judgement, place)[0].sample for place in range(4)]
    assert set(order[:2]) == {1, 2}
    assert lengths[order[0]] <= lengths[order[1]]
    assert targets([judged], judgement, 4) == []
