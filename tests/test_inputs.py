"""What a program is asked reaches it as it would without a budget around it."""

from __future__ import annotations

import asyncio

import dspy
import numpy as np
import pytest

import anytime_dspy as ad
from anytime_dspy.errors import BudgetError
from anytime_dspy.testing import chat, continuing, question_of, scripted_lm, words

BUDGETS = (4, 8, 64)


reply = continuing(chat(reasoning=words(20), plan="late"), lambda request: "early")


def streamed(program: dspy.Module, *positional, **options):
    lm = scripted_lm(reply)
    with dspy.context(lm=lm):
        checkpoints = list(ad.Anytime(program, BUDGETS, answer_tokens=16).stream(*positional, **options))
    return checkpoints, question_of(lm.engine.requests[0])


class Trip(dspy.Module):
    """Has its input in the parameters of its forward."""

    def __init__(self):
        self.plan = dspy.ChainOfThought("task -> plan")

    def forward(self, task, stop="nowhere"):
        return self.plan(task=f"{task} by {stop}")


@pytest.mark.parametrize("name", ["stop", "deadline"])
@pytest.mark.parametrize("value", ["Friday", 2.0])
def test_inputs_named_as_options_of_a_stream_are_the_programs(name, value):
    checkpoints, asked = streamed(dspy.ChainOfThought(f"task, {name} -> plan"), task="go", **{name: value})
    assert len(checkpoints) == len(BUDGETS)
    assert f"[[ ## {name} ## ]]\n{value}" in asked


def test_an_input_may_stand_in_the_parameters_of_forward():
    assert "go by Rome" in streamed(Trip(), task="go", stop="Rome")[1]
    assert "go by nowhere" in streamed(Trip(), task="go")[1]


def test_a_rule_is_a_rule_beside_an_input_of_that_name():
    program = dspy.ChainOfThought("task, stop -> plan")
    assert len(streamed(program, task="go", stop=ad.Converged(2))[0]) == 2


def test_elsewhere_they_are_the_options_of_the_stream():
    program = dspy.ChainOfThought("task -> plan")
    assert len(streamed(program, task="go", stop=ad.Converged(2), deadline=60.0)[0]) == 2
    with pytest.raises(BudgetError, match="stop must be a stopping rule"):
        streamed(program, task="go", stop="Rome")
    with pytest.raises(BudgetError, match="seconds must be a positive number"):
        streamed(program, task="go", deadline=-1.0)


def test_an_input_of_a_step_inside_is_none_of_the_program():
    class Late(Trip):
        def __init__(self):
            self.plan = dspy.ChainOfThought("task, deadline -> plan")

        def forward(self, task):
            return self.plan(task=task, deadline="Friday")

    assert "Friday" in streamed(Late(), task="go", deadline=60.0)[1]


def test_an_asynchronous_stream_takes_them_too():
    async def answers():
        program = ad.Anytime(dspy.ChainOfThought("task, deadline -> plan"), BUDGETS, answer_tokens=16)
        with dspy.context(lm=scripted_lm(reply)):
            return [point.prediction.plan async for point in program.astream(task="go", deadline="Friday")]

    assert asyncio.run(answers()) == ["early", "early", "late"]


def test_positional_inputs_are_taken_or_refused_as_by_the_bare_program():
    trip = ad.Anytime(Trip(), BUDGETS, answer_tokens=16)
    with dspy.context(lm=scripted_lm(reply)):
        assert [module("go", "Rome").plan for module in (Trip(), trip, trip.at(8))] == ["late", "late", "early"]
        assert streamed(Trip(), "go", "Rome")[0][-1].prediction.plan == "late"
        for program in (dspy.Predict("task -> plan"), dspy.ChainOfThought("task -> plan")):
            with pytest.raises(Exception, match=r"(?i)positional") as bare:
                program("go")
            for module in (ad.Anytime(program, BUDGETS), ad.Anytime(program, BUDGETS).at(8)):
                with pytest.raises(type(bare.value)) as wrapped:
                    module("go")
                assert str(wrapped.value) == str(bare.value)


def test_numpys_numbers_are_numbers(tmp_path):
    program = ad.Anytime(
        dspy.ChainOfThought("task -> plan"),
        np.array(BUDGETS),
        answer_tokens=np.int64(16),
        stop=ad.Converged(patience=np.int64(2)),
    )
    program.save(tmp_path / "program.json")
    assert ad.Anytime(dspy.ChainOfThought("task -> plan"), (1,)).load(tmp_path / "program.json").answer_tokens == 16
    with dspy.context(lm=scripted_lm(reply)):
        limit = ad.Budget(tokens=np.int32(8), seconds=np.float32(60))
        with ad.budget(limit, answer_tokens=np.int64(16)) as spent:
            program.program(task="go")
    assert (spent.reasoning, spent.remaining) == (8, 0)
    for refused in (np.float64(16), np.bool_(True), np.int64(0), True, "16"):
        with pytest.raises(BudgetError, match="answer_tokens must be a positive integer"):
            ad.Anytime(dspy.ChainOfThought("task -> plan"), BUDGETS, answer_tokens=refused)
