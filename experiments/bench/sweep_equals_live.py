"""Whether a sweep's answers on a real model are those of live runs, and where they differ, what made the difference."""

from __future__ import annotations

import ast
import operator
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import dspy

import anytime_dspy as ad
from anytime_dspy.local.models import file_digest, model_path
from anytime_dspy.programs import get_task

BUDGETS = (16, 32, 64)
ANSWER_TOKENS = 24
OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
SLOTS = 1  # with two, each of an agent's prompts stays in a slot of its own: faster, but greedy text then differs


@dataclass(frozen=True)
class Equality:
    """What was counted.

    Attributes:
        model: The model's name.
        sha256: The model file's hash.
        date: When it was measured, in UTC.
        program: The kind of program that was swept.
        budgets: The checkpoints, in reasoning tokens.
        answer_tokens: The cap on each answer.
        slots: Prompts that the engine keeps read.
        examples: Word problems swept, greedily, one request at a time.
        checkpoints: Checkpoints compared with a live run.
        equal: Those whose whole prediction was that of the live run.
        equal_answers: Those whose answer was.
        by_engine: Differences in which the engine wrote two texts for one prompt: its prefix cache held another part.
        calls: LM calls of the live runs, agents' steps included.
        tools_run: Tool calls of the sweeps, counted right after each, so that no live run's are among them.
    """

    model: str
    sha256: str
    date: str
    program: str
    budgets: tuple[int, ...]
    answer_tokens: int
    slots: int
    examples: int
    checkpoints: int
    equal: int
    equal_answers: int
    by_engine: int
    calls: int
    tools_run: int


def chain_of_thought(calculate: Callable[[str], str]) -> dspy.Module:
    """Returns the task's own program."""
    return get_task("word_problems").program()


def agent(calculate: Callable[[str], str]) -> dspy.Module:
    """Returns an agent with one tool."""
    return dspy.ReAct("problem -> answer", tools=[calculate], max_iters=3)


def shown_agent(calculate: Callable[[str], str]) -> dspy.Module:
    """Returns the same agent with an episode shown to it, without which small models call no tool."""
    shown = agent(calculate)
    problem = "A crate holds 4 trays of 6 eggs. How many eggs are in the crate?"
    first = {
        "next_thought": "4 trays of 6 eggs.",
        "next_tool_name": "calculate",
        "next_tool_args": {"expression": "4 * 6"},
    }
    seen = {"thought_0": first["next_thought"], "tool_name_0": "calculate", "tool_args_0": first["next_tool_args"]}
    trajectory = dspy.ChatAdapter().format_user_message_content(
        dspy.Signature(", ".join([*seen, "observation_0"]) + " -> x"), {**seen, "observation_0": "24"}
    )
    last = {"next_thought": "There are 24 eggs.", "next_tool_name": "finish", "next_tool_args": {}}
    shown.react.demos = [
        dspy.Example(problem=problem, trajectory="(nothing yet)", **first),
        dspy.Example(problem=problem, trajectory=trajectory, **last),
    ]
    return shown


PROGRAMS = {"chain_of_thought": chain_of_thought, "agent": agent, "shown_agent": shown_agent}


def measure(model: str, program: str, examples: int, seconds: float) -> Equality:
    """Sweeps generated word problems and runs each one live at every budget: `examples`, or what `seconds` allow."""
    begun = time.perf_counter()
    asked: list[str] = []

    def calculate(expression: str) -> str:
        """Calculates an arithmetic expression."""
        asked.append(expression)
        return f"{_value(ast.parse(expression, mode='eval').body):g}"

    anytime = ad.Anytime(PROGRAMS[program](calculate), BUDGETS, answer_tokens=ANSWER_TOKENS)
    lm = ad.local_lm(model, temperature=0.0, cache=False, slots=SLOTS)
    done = equal = equal_answers = by_engine = calls = tools_run = 0
    with dspy.context(lm=lm, max_history_size=100_000):
        for example in get_task("word_problems").generate(examples, seed=3):
            if time.perf_counter() - begun > seconds:
                break
            done += 1
            known = len(lm.history)
            asked.clear()
            checkpoints = anytime(problem=example.problem).checkpoints
            tools_run += len(asked)
            swept = lm.history[known:]
            for checkpoint in checkpoints:
                known = len(lm.history)
                live = anytime.at(checkpoint.budget)(problem=example.problem)
                calls += len(lm.history) - known
                same = live.toDict() == checkpoint.prediction.toDict()
                equal += same
                equal_answers += live.answer == checkpoint.prediction.answer
                by_engine += not same and _other_text_for_one_prompt(swept, lm.history[known:])
    return Equality(
        model=lm.model,
        sha256=file_digest(model_path(model)),
        date=datetime.now(timezone.utc).date().isoformat(),
        program=program,
        budgets=BUDGETS,
        answer_tokens=ANSWER_TOKENS,
        slots=SLOTS,
        examples=done,
        checkpoints=done * len(BUDGETS),
        equal=equal,
        equal_answers=equal_answers,
        by_engine=by_engine,
        calls=calls,
        tools_run=tools_run,
    )


def _value(node: ast.expr) -> float:
    """The value of sums and products of numbers; an error at anything else, which an agent is shown."""
    if isinstance(node, ast.BinOp):
        return OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return node.value
    raise ValueError(f"only numbers and + - * / can be calculated, not {ast.unparse(node)}")


def _other_text_for_one_prompt(swept: Sequence[dict[str, Any]], live: Sequence[dict[str, Any]]) -> bool:
    """Whether a prompt was answered twice, and neither text is the beginning of the other."""
    texts = [(entry["messages"], entry["response"].message.text or "") for entry in swept]
    for entry in live:
        text = entry["response"].message.text or ""
        others = [other for messages, other in texts if messages == entry["messages"]]
        if others and not any(text.startswith(other) or other.startswith(text) for other in others):
            return True
    return False
