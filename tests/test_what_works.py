"""docs/what_works.md says nothing that is not so: the cells of its table are run, the tests that it names are there."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.testing import scripted_lm, words
from tests.fakes.programs import Pipeline, is_hidden
from tests.fakes.speaker import Speaker

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "what_works.md").read_text(encoding="utf-8")
BUDGETS, ANSWER_TOKENS = (8, 30, 75, 400), 60
SIGNATURE = "question -> answer"


class Cell(NamedTuple):
    program: str
    lm: str
    mode: str
    claim: str


def cells() -> list[Cell]:
    """Reads the first table of the page."""
    head, _, *rows = [
        [cell.strip() for cell in line.strip("| ").split(" | ")]
        for line in PAGE.split("## The kinds of LM")[0].splitlines()
        if line.startswith("|")
    ]
    return [
        Cell(program.replace("`", ""), lm, mode, claim)
        for program, *columns in rows
        for lm, claims in zip(head[1:], columns, strict=True)
        for mode, claim in zip(("trace", "contract"), claims.split(" · "), strict=True)
    ]


def look_up(key: str) -> str:
    """Looks a key up."""
    return f"value of {key}"


def break_down(key: str = "") -> str:
    """Never works."""
    raise OSError(f"no {key}")


class Threads(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.each, self.all = dspy.ChainOfThought("part -> answer"), dspy.ChainOfThought(SIGNATURE)

    def forward(self, question: str) -> dspy.Prediction:
        parallel = dspy.Parallel(num_threads=3, disable_progress_bar=True)
        found = parallel([(self.each, {"part": f"{question} {part}"}) for part in "abc"])
        return self.all(question=str([prediction.answer for prediction in found]))


class Tasks(Threads):
    async def aforward(self, question: str) -> dspy.Prediction:
        found = await asyncio.gather(*(self.each.acall(part=f"{question} {part}") for part in "abc"))
        return await self.all.acall(question=str([prediction.answer for prediction in found]))


class Compared(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attempts = [dspy.ChainOfThought(SIGNATURE) for _ in range(2)]
        self.compare = dspy.MultiChainComparison(SIGNATURE, M=2)

    def forward(self, question: str) -> dspy.Prediction:
        return self.compare([attempt(question=question) for attempt in self.attempts], question=question)


class Interpreter:
    """Runs no code, and says so in as many words."""

    tools: dict[str, Any] = {}  # noqa: RUF012

    def start(self) -> None:
        pass

    def execute(self, code: str, variables: Any = None) -> str:
        return f"ran {len(code)} characters"

    def shutdown(self) -> None:
        pass


def reward(inputs: dict[str, Any], prediction: dspy.Prediction) -> float:
    return 0.0  # never good enough: all attempts are made


def reasoned() -> dspy.Module:
    return dspy.Predict(dspy.Signature(SIGNATURE).prepend("reasoning", dspy.OutputField(), dspy.Reasoning))


def bootstrapped() -> dspy.Module:
    teacher = dspy.BootstrapFewShot(metric=lambda *_: True, max_bootstrapped_demos=1, max_labeled_demos=0)
    trainset = [dspy.Example(question="a?", answer="Oslo").with_inputs("question")]
    program = teacher.compile(dspy.ChainOfThought(SIGNATURE), trainset=trainset)
    assert is_hidden(program)
    return program


PROGRAMS: dict[str, Callable[[], dspy.Module]] = {
    "dspy.Predict": lambda: dspy.Predict(SIGNATURE),
    "dspy.ChainOfThought": lambda: dspy.ChainOfThought(SIGNATURE),
    "a field of type dspy.Reasoning": reasoned,
    "a pipeline of two predictors": lambda: Pipeline(2),
    "dspy.ReAct with tools": lambda: dspy.ReAct(SIGNATURE, tools=[look_up, break_down], max_iters=4),
    "a fan-out through dspy.Parallel": Threads,
    "a fan-out through asyncio.gather": Tasks,
    "dspy.Refine": lambda: dspy.Refine(dspy.ChainOfThought(SIGNATURE), N=2, reward_fn=reward, threshold=1.0),
    "dspy.BestOfN": lambda: dspy.BestOfN(dspy.ChainOfThought(SIGNATURE), N=2, reward_fn=reward, threshold=1.0),
    "dspy.MultiChainComparison": Compared,
    "compiled by dspy.BootstrapFewShot": bootstrapped,
    "dspy.ProgramOfThought": lambda: dspy.ProgramOfThought(SIGNATURE, interpreter_factory=Interpreter),
}


def lm_of(kind: str) -> dspy.LM:
    speaker = Speaker(shapes=["whole"], thoughts=[12, 25], values=["Oslo", "say " * 12])
    thinking = (lambda request: words(9, "hm")) if kind.startswith("thinking") else None
    return scripted_lm(
        speaker, can_continue=kind == "continues", thinking=thinking, shows_thinking=kind != "thinking hidden"
    )


def call(program: dspy.Module, name: str) -> Any:
    return asyncio.run(program.acall(question="?")) if "asyncio" in name else program(question="?")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of modules that DSPy means to drop
@pytest.mark.parametrize("cell", cells(), ids=lambda cell: "-".join(cell[:3]))
def test_a_cell(cell):
    lm = lm_of(cell.lm)
    with dspy.context(lm=lm_of("continues")):
        program = PROGRAMS[cell.program]()
    swept = ad.Anytime(program, BUDGETS, answer_tokens=ANSWER_TOKENS, mode=cell.mode)
    with dspy.context(lm=lm):
        if cell.claim == "refused":
            with pytest.raises(ad.AnytimeError):
                call(swept, cell.program)
            assert len(lm.engine.requests) == 1
            return
        checkpoints = call(swept, cell.program).checkpoints
        for checkpoint in checkpoints:
            assert checkpoint.reasoning_tokens <= checkpoint.budget
            assert checkpoint.answered
            assert checkpoint.prediction.answer
            if cell.claim == "equal":
                with ad.budget(checkpoint.budget, answer_tokens=ANSWER_TOKENS) as spent:
                    live = call(program, cell.program)
                assert checkpoint.prediction.toDict() == live.toDict()
                assert checkpoint.reasoning_tokens == spent.reasoning
                assert sorted(str(call.outputs) for call in checkpoint.calls) == sorted(
                    str(call.outputs) for call in spent.calls
                )
    assert checkpoints[0].forced or cell.program == "dspy.Predict"
    assert not checkpoints[-1].cut


def test_the_table_is_whole():
    found = cells()
    assert {cell.program for cell in found} == set(PROGRAMS)
    assert len(found) == 8 * len(PROGRAMS)
    assert {cell.claim for cell in found} == {"equal", "held", "refused"}


@pytest.mark.parametrize(("path", "name"), sorted(set(re.findall(r"(tests/[\w/]+\.py)::(\w+)", PAGE))))
def test_a_test_that_is_named_is_there(path, name):
    module = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in module.body if isinstance(node, ast.FunctionDef)}
