"""What the grid will cost at most, before anything is spent."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import dspy

from anytime_dspy.calls.tokens import LiteLLMCounter, TokenCounter
from anytime_dspy.errors import ModelError
from anytime_dspy.optimizers.search.race import heat_ends
from anytime_dspy.runtime.allowance import Price
from anytime_dspy.runtime.prices import price_of
from experiments.paper.cells import Examples
from experiments.paper.grid import DataSet, Grid, Method, Model

__all__ = ["COUNTED_AS", "Cost", "Line", "cost_of", "dollars", "estimate", "prompt_tokens"]

# Other tokenizers may have to be fetched first, and differ by a few percent in what is a bound anyway.
COUNTED_AS = "gpt-4o"
# LEAP has an answer's mistakes explained by one call each, at most this many for an example, and one call condenses.
LEAP_MISTAKES = 3
# Short calls that squeezing a trace takes.
SQUEEZING = 3
# What LEAP's principles, and its instructions for writing them, may take.
LEAP_TOKENS = 512


@dataclass(frozen=True)
class Cost:
    """Calls and tokens, at most.

    Attributes:
        calls: Of the LM.
        prompt: Tokens sent.
        completion: Tokens written.
    """

    calls: int = 0
    prompt: int = 0
    completion: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.calls + other.calls, self.prompt + other.prompt, self.completion + other.completion)

    def times(self, n: int) -> Cost:
        """Returns the cost of doing this `n` times."""
        return Cost(self.calls * n, self.prompt * n, self.completion * n)


class Line(NamedTuple):
    """One cell's cost, in dollars too where its model has a price."""

    model: str
    data: str
    method: Method
    cost: Cost
    dollars: float | None


def estimate(grid: Grid, columns: Mapping[str, Examples]) -> list[Line]:
    """Returns what each cell costs at most.

    Args:
        grid: The grid.
        columns: The examples of each data set.
    """
    counter = LiteLLMCounter(COUNTED_AS)
    prompts = {name: prompt_tokens(examples, counter) for name, examples in columns.items()}
    lines = []
    for model, data, method in itertools.product(grid.models, grid.data, grid.methods):
        cost = cost_of(grid, data, columns[data.name], method, prompts[data.name])
        lines.append(Line(model.name, data.name, method, cost, dollars(cost, model)))
    return lines


def prompt_tokens(examples: Examples, counter: TokenCounter, shown: int = 16) -> int:
    """Returns the mean length of the plain program's prompt, in tokens, over the first examples."""
    (predictor,) = examples.task.program().predictors()
    adapter = dspy.ChatAdapter()

    def length(example: dspy.Example) -> int:
        messages = adapter.format(predictor.signature, [], example.inputs().toDict())
        return counter.count("\n".join(str(message["content"]) for message in messages))

    lengths = [length(example) for example in examples.test[:shown]]
    return -(-sum(lengths) // len(lengths))


def cost_of(grid: Grid, data: DataSet, examples: Examples, method: Method, prompt: int) -> Cost:
    """Returns what one cell costs at most: every trace uses its largest budget, and every answer has to be forced.

    PDP(+) and PDP sample the same traces; where both are run, DSPy's cache answers the second, which is not taken off.
    Judges that ask the LM are not counted: "agreement", "checked" and "metric" do not.

    Args:
        grid: The grid.
        data: The column.
        examples: Its examples.
        method: The method.
        prompt: The plain prompt's length, from `prompt_tokens`.
    """
    answer = data.answer_tokens or examples.task.answer_tokens
    swept = _sweep(data.budgets, answer, prompt + _shown(data.budgets, answer, method, prompt))
    total = swept.times(len(examples.test))
    train = len(examples.train)
    if method == "LEAP":
        total += _sweep(data.budgets, answer, prompt).times(train * grid.leap_answers)
        total += Cost(1, prompt + data.budgets[-1] + LEAP_TOKENS, LEAP_TOKENS).times(train * LEAP_MISTAKES)
        total += Cost(1, train * LEAP_MISTAKES * LEAP_TOKENS, LEAP_TOKENS)
    elif method != "Base":
        total += _sweep(data.budgets, answer, prompt).times(train * grid.samples)
    if method == "PDP, raced":
        total += Cost(1, prompt + data.budgets[-1], answer).times(2 * train * SQUEEZING)
        total += swept.times(_raced_sweeps(grid.trials, train))
    return total


def dollars(cost: Cost, model: Model) -> float | None:
    """Returns a cost in dollars, by the grid's own price or litellm's; None where there is neither."""
    try:
        price = Price(*(each / 1e6 for each in model.prices)) if model.prices else price_of(model.lm)
    except ModelError:
        return None
    return cost.prompt * price.prompt + cost.completion * price.output


def _raced_sweeps(candidates: int, examples: int) -> int:
    """Sweeps of a race: the student runs all examples, of the others half of those that ran the heat before."""
    sweeps, others, before = examples, candidates - 1, 0
    for end in heat_ends(examples):
        sweeps += others * (end - before)
        others, before = math.ceil(others / 2), end
    return sweeps


def _sweep(budgets: Sequence[int], answer: int, prompt: int) -> Cost:
    """One example at every budget: one trace, and at each budget its cut is sent back for the answer."""
    calls = 1 + len(budgets)
    return Cost(calls, calls * prompt + sum(budgets), budgets[-1] + calls * answer)


def _shown(budgets: Sequence[int], answer: int, method: Method, prompt: int) -> int:
    """What a method adds to a prompt: PDP two traces a budget, PDP(+) one, LEAP its principles and three examples.

    A search shows no more than PDP does, its instructions aside.
    """
    demonstrations = sum(budgets) + len(budgets) * (prompt + answer)
    return {
        "Base": 0,
        "LEAP": LEAP_TOKENS + 3 * (prompt + budgets[-1] + answer),
        "PDP(+)": demonstrations,
        "PDP": demonstrations + sum(budgets),
        "PDP, raced": demonstrations + sum(budgets),
    }[method]
