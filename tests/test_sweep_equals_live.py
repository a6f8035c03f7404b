"""On a real model a sweep's answer at a budget is the answer of a live run at that budget."""

from __future__ import annotations

from typing import NamedTuple

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.calls.tokens import counter_for
from anytime_dspy.programs import get_task

pytestmark = pytest.mark.local_lm

BUDGETS = (16, 32, 64)
ANSWER_TOKENS = 32
EXAMPLES = 12


class Swept(NamedTuple):
    program: ad.Anytime
    lm: dspy.LM
    problems: list[str]
    checkpoints: list[tuple[ad.Checkpoint, ...]]


@pytest.fixture(scope="module")
def swept(smallest_lm: dspy.LM) -> Swept:
    task = get_task("word_problems")
    program = ad.Anytime(task.program(), BUDGETS, answer_tokens=ANSWER_TOKENS)
    problems = [example.problem for example in task.generate(EXAMPLES, seed=3)]
    lm = smallest_lm.copy(cache=False)
    with dspy.context(lm=lm):
        return Swept(program, lm, problems, [program(problem=problem).checkpoints for problem in problems])


def test_a_sweep_answers_as_live_runs_do(swept):
    same = 0
    for problem, checkpoints in zip(swept.problems, swept.checkpoints, strict=True):
        for checkpoint in checkpoints:
            with dspy.context(lm=swept.lm):
                live = swept.program.at(checkpoint.budget)(problem=problem)
            same += live.toDict() == checkpoint.prediction.toDict()
    share = same / (len(swept.problems) * len(BUDGETS))
    # Not all: a warm prefix cache rounds otherwise than a cold one, and greedy decoding may then take another word.
    assert share >= 0.95, f"only {share:.1%} of the checkpoints equal a live run"


def test_no_reasoning_exceeds_its_budget(swept):
    counter = counter_for(swept.lm)
    for checkpoints in swept.checkpoints:
        for checkpoint in checkpoints:
            assert counter.count(checkpoint.prediction.reasoning) <= checkpoint.reasoning_tokens <= checkpoint.budget
            assert checkpoint.answer_tokens <= ANSWER_TOKENS + checkpoint.budget
    reached = [checkpoints[0].reasoning_tokens for checkpoints in swept.checkpoints]
    assert max(reached) == BUDGETS[0]  # the model does reason: budgets were met, and not only by silence


def test_a_sweep_from_the_cache_counts_the_same(swept):
    lm = swept.lm.copy(cache=True)
    problems = swept.problems[:4]
    with dspy.context(lm=lm):
        first = [swept.program(problem=problem).checkpoints for problem in problems]
        known = len(lm.history)
        again = [swept.program(problem=problem).checkpoints for problem in problems]
    assert all(entry["usage"] == {} for entry in lm.history[known:])  # none was run again
    for before, after in zip(first, again, strict=True):
        assert [(c.reasoning_tokens, c.answer_tokens) for c in before] == [
            (c.reasoning_tokens, c.answer_tokens) for c in after
        ]
        assert [c.usage.prompt_tokens for c in before] == [c.usage.prompt_tokens for c in after]
        assert [c.prediction.toDict() for c in before] == [c.prediction.toDict() for c in after]
