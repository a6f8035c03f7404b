"""Whatever program runs on whatever LM: no more reasoning than its budget, and an answer always."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import dspy
import pydantic
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import anytime_dspy as ad
from anytime_dspy.testing import scripted_lm, words
from tests.fakes.programs import Pipeline, frozen
from tests.fakes.speaker import PIECES, SHAPES, VALUES, Speaker

CASES_LIVE, CASES_SWEPT = 1650, 400


class Stay(pydantic.BaseModel):
    city: str
    days: int


def _typed(annotation: Any) -> type[dspy.Signature]:
    return dspy.Signature("question -> answer").with_updated_fields("answer", type_=annotation)


SIGNATURES = {
    "text": dspy.Signature("question -> answer"),
    "number": _typed(int),
    "choice": _typed(Literal["yes", "no"]),
    "list": _typed(list[str]),
    "model": _typed(Stay),
    "several": dspy.Signature("question -> note, cost: int, answer"),
}
FITTING = {"text": "Oslo", "number": "7", "choice": "yes", "list": '["a", "b"]', "model": '{"city": "Oslo", "days": 3}'}


def look_up(key: str) -> str:
    """Looks a key up."""
    return f"value of {key}"


def break_down(key: str = "") -> str:
    """Never works."""
    raise OSError(f"no {key}")


class Reasoned(dspy.Module):
    """Has its reasoning in a field of DSPy's own type."""

    def __init__(self, signature: type[dspy.Signature]) -> None:
        super().__init__()
        field = dspy.OutputField()
        self.predict = dspy.Predict(signature.prepend("reasoning", field, dspy.Reasoning))

    def forward(self, question: str) -> dspy.Prediction:
        return self.predict(question=question)


class FanOut(dspy.Module):
    """Asks about three things side by side, and then once about all of them."""

    def __init__(self, signature: type[dspy.Signature]) -> None:
        super().__init__()
        self.each, self.all = dspy.ChainOfThought("part -> answer"), dspy.ChainOfThought(signature)

    def forward(self, question: str) -> dspy.Prediction:
        parallel = dspy.Parallel(num_threads=3, disable_progress_bar=True)
        found = parallel([(self.each, {"part": f"{question} {part}"}) for part in "abc"])
        return self.all(question=str([prediction.answer for prediction in found]))


class Compared(dspy.Module):
    """Weighs two attempts."""

    def __init__(self, signature: type[dspy.Signature]) -> None:
        super().__init__()
        self.attempts = [dspy.ChainOfThought(signature) for _ in range(2)]
        self.compare = dspy.MultiChainComparison(signature, M=2)

    def forward(self, question: str) -> dspy.Prediction:
        return self.compare([attempt(question=question) for attempt in self.attempts], question=question)


def reward(inputs: dict[str, Any], prediction: dspy.Prediction) -> float:
    return float(len(str(prediction.answer)) > 20)


def compiled(signature: type[dspy.Signature]) -> dspy.Module:
    demo = dspy.Example(question="a?", reasoning="so", answer="yes").with_inputs("question")
    return frozen(dspy.ChainOfThought(signature), demo)


PROGRAMS: dict[str, Callable[[type[dspy.Signature]], dspy.Module]] = {
    "predict": dspy.Predict,
    "chain of thought": dspy.ChainOfThought,
    "reasoning field": Reasoned,
    "pipeline": lambda signature: Pipeline(3, signature),
    "agent": lambda signature: dspy.ReAct(signature, tools=[look_up, break_down], max_iters=4),
    "fan-out": FanOut,
    "refine": lambda signature: dspy.Refine(dspy.ChainOfThought(signature), N=2, reward_fn=reward, threshold=1.0),
    "best of n": lambda signature: dspy.BestOfN(dspy.ChainOfThought(signature), N=2, reward_fn=reward, threshold=1.0),
    "comparison": Compared,
    "compiled": compiled,
}
AWAITED = {"predict", "chain of thought", "pipeline", "agent", "compiled"}  # the others have no `aforward`
ADAPTERS = {"chat": dspy.ChatAdapter(), "json": dspy.JSONAdapter(), "xml": dspy.XMLAdapter()}


@dataclasses.dataclass(frozen=True)
class Case:
    program: str
    signature: str
    adapter: str
    speaker: Speaker
    fitting: int
    can_continue: bool
    thinking: int | None
    budgets: list[int]
    answer_tokens: int
    is_async: bool

    def build(self) -> dspy.Module:
        return PROGRAMS[self.program](SIGNATURES[self.signature])

    def lm(self) -> dspy.LM:
        thinking = None if self.thinking is None else lambda request: words(self.thinking, "hm")
        values = [*[FITTING.get(self.signature, "7")] * self.fitting, *self.speaker.values]
        speaker = dataclasses.replace(self.speaker, values=values)
        return scripted_lm(speaker, can_continue=self.can_continue, thinking=thinking)

    def run(self, program: dspy.Module) -> Any:
        """Calls a program as this case has it."""
        if self.is_async and self.program in AWAITED:
            return asyncio.run(program.acall(question="?"))
        return program(question="?")


LENGTHS = st.one_of(st.integers(1, 30), st.integers(1, 150))
SPEAKERS = st.builds(
    Speaker,
    shapes=st.lists(st.sampled_from([*["whole"] * 16, *SHAPES]), min_size=1, max_size=4),
    thoughts=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    values=st.lists(st.sampled_from(VALUES), min_size=1, max_size=4),
    noise=st.lists(st.sampled_from(PIECES), max_size=14).map("".join),
)
CASES = st.builds(
    Case,
    program=st.sampled_from(sorted(PROGRAMS)),
    signature=st.sampled_from(sorted(SIGNATURES)),
    adapter=st.sampled_from(sorted(ADAPTERS)),
    speaker=SPEAKERS,
    fitting=st.sampled_from([0, 2, 8]),
    can_continue=st.booleans(),
    thinking=st.sampled_from([None, None, None, 0, 8, 60]),
    budgets=st.lists(LENGTHS, min_size=1, max_size=4, unique=True).map(sorted),
    answer_tokens=st.one_of(st.integers(18, 30), st.just(40)),
    is_async=st.booleans(),
)


def check_answer(case: Case, prediction: dspy.Prediction, *, answered: bool) -> None:
    """Every field came back; one that could not be read is None, and then the answer does not count.

    An empty text was read where quotes or tags stand around it, and beside another field.
    """
    values = [prediction[name] for name in SIGNATURES[case.signature].output_fields]
    read_empty = case.adapter != "chat" or case.signature == "several"
    assert not answered or not any(value is None or (value == "" and not read_empty) for value in values)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of fields' prefixes, in DSPy's own modules
@given(CASES)
@settings(max_examples=CASES_LIVE, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.slow
def test_a_budget_holds_and_an_answer_comes(case):
    lm, tokens = case.lm(), case.budgets[-1]
    scene = dspy.context(lm=lm, adapter=ADAPTERS[case.adapter])
    with scene, ad.budget(tokens, answer_tokens=case.answer_tokens) as spent:
        prediction = case.run(case.build())
    check_answer(case, prediction, answered=spent.answered)
    assert spent.reasoning == sum(call.reasoning_tokens for call in spent.calls) <= tokens
    assert lm.engine.written <= tokens + 2 * case.answer_tokens * len(spent.calls)
    assert spent.usage.calls == len(lm.engine.requests) <= 2 * len(spent.calls)
    assert all(request.config.max_tokens <= tokens + case.answer_tokens for request in lm.engine.requests)
    for call in spent.calls:
        assert lm.engine.counter.count(call.reasoning) <= call.reasoning_tokens
        assert call.answered or any(value is None or value == "" for value in call.outputs.values())


# The second of three calls uses up the smaller budget to its last token, so the third has none to reason with.
USED_UP = Case(
    program="pipeline",
    signature="text",
    adapter="json",
    speaker=Speaker(shapes=["noise", "whole", "whole", "whole"], thoughts=[0], values=["7"], noise="{"),
    fitting=0,
    can_continue=False,
    thinking=None,
    budgets=[1, 2],
    answer_tokens=40,
    is_async=False,
)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@given(CASES)
@example(USED_UP)
@settings(max_examples=CASES_SWEPT, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.slow
def test_a_sweep_holds_every_budget_and_sees_what_live_runs_see(case):
    lm, program = case.lm(), case.build()
    with dspy.context(lm=lm, adapter=ADAPTERS[case.adapter]):
        swept = ad.Anytime(program, case.budgets, answer_tokens=case.answer_tokens)
        checkpoints = case.run(swept).checkpoints
        for checkpoint in checkpoints:
            check_answer(case, checkpoint.prediction, answered=checkpoint.answered)
            assert checkpoint.reasoning_tokens <= checkpoint.budget
            if case.program == "fan-out":
                continue  # which thread asks first is not told beforehand
            with ad.budget(checkpoint.budget, answer_tokens=case.answer_tokens) as spent:
                live = case.run(program)
            assert checkpoint.prediction.toDict() == live.toDict()
            assert checkpoint.reasoning_tokens == spent.reasoning
            assert checkpoint.forced == spent.forced
            assert [_content(call) for call in checkpoint.calls] == [_content(call) for call in spent.calls]


def _content(call: ad.Call) -> ad.Call:
    return dataclasses.replace(call, predictor="")  # a bare budget does not know the predictors' names
