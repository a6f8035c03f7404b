"""What the grid will cost at most, before anything is spent."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import dspy

from anytime_dspy.calls.forced_answer import PARTIAL_REASONING, answer_signature
from anytime_dspy.calls.tokens import LiteLLMCounter, TokenCounter
from anytime_dspy.errors import ModelError
from anytime_dspy.optimizers.leap.optimizer import MISTAKES_OF_AN_EXAMPLE
from anytime_dspy.optimizers.prompts.principles import CONDENSED, PRINCIPLE_TOKENS
from anytime_dspy.optimizers.search.pool import COMPOSED
from anytime_dspy.optimizers.search.race import KEPT, heat_ends
from anytime_dspy.runtime.allowance import Price
from anytime_dspy.runtime.prices import price_of
from experiments.paper.cells import Examples
from experiments.paper.grid import DataSet, Grid, Method, Model

__all__ = [
    "COUNTED_AS",
    "Cost",
    "Line",
    "Pace",
    "Stage",
    "cost_of",
    "dollars",
    "estimate",
    "prompt_tokens",
    "stages_of",
]

# Other tokenizers may have to be fetched first, and differ by a few percent in what is a bound anyway.
COUNTED_AS = "gpt-4o"
# Short calls that squeezing a trace takes.
SQUEEZING = 3
# What LEAP's principles, and its instructions for writing them, may take.
LEAP_TOKENS = CONDENSED * PRINCIPLE_TOKENS + 32


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


@dataclass(frozen=True)
class Stage:
    """Chains of calls that may all run at once; within a chain, each call waits for the one before.

    Attributes:
        chain: What one of them costs.
        chains: How many there are.
    """

    chain: Cost
    chains: int = 1

    @property
    def cost(self) -> Cost:
        """What all of them cost."""
        return self.chain.times(self.chains)


@dataclass(frozen=True)
class Line:
    """One cell: what runs in it, one stage after the other, and its price where its model has one."""

    model: str
    data: str
    method: Method
    stages: tuple[Stage, ...]
    dollars: float | None

    @property
    def cost(self) -> Cost:
        """What the cell costs."""
        return _sum(self.stages)


@dataclass(frozen=True)
class Pace:
    """How fast an LM replies, however many calls are in flight.

    Attributes:
        latency: Seconds until the first token of a reply.
        speed: Tokens that it then writes in a second.
    """

    latency: float
    speed: float

    def seconds(self, stages: Sequence[Stage], in_flight: int) -> float:
        """Returns how long stages take, one after the other, with so many calls in flight; our own work not counted."""
        return sum(math.ceil(stage.chains / in_flight) * self._chain(stage.chain) for stage in stages)

    def _chain(self, cost: Cost) -> float:
        return cost.calls * self.latency + cost.completion / self.speed


def estimate(grid: Grid, columns: Mapping[str, Examples], counter: TokenCounter | None = None) -> list[Line]:
    """Returns what each cell costs at most.

    Args:
        grid: The grid.
        columns: The examples of each data set.
        counter: Counts the tokens of prompts; by default, those of `COUNTED_AS`.
    """
    counter = counter or LiteLLMCounter(COUNTED_AS)
    prompts = {name: prompt_tokens(examples, counter) for name, examples in columns.items()}
    lines = []
    for model, data, method in itertools.product(grid.models, grid.data, grid.methods):
        stages = stages_of(grid, data, columns[data.name], method, prompts[data.name])
        lines.append(Line(model.name, data.name, method, stages, dollars(_sum(stages), model)))
    return lines


def prompt_tokens(examples: Examples, counter: TokenCounter, shown: int = 16) -> int:
    """Returns the mean length of the plain program's prompt, in tokens, over the first examples.

    It is that of the prompt that asks for an answer, without the cut trace: most providers do not continue a message,
    and then it is longer than the prompt of the trace.
    """
    (predictor,) = examples.task.program().predictors()
    adapter, signature = dspy.ChatAdapter(), answer_signature(predictor.signature, restated=True)

    def length(example: dspy.Example) -> int:
        messages = adapter.format(signature, [], {**example.inputs().toDict(), PARTIAL_REASONING: ""})
        return counter.count("\n".join(str(message["content"]) for message in messages))

    lengths = [length(example) for example in examples.test[:shown]]
    return -(-sum(lengths) // len(lengths))


def cost_of(grid: Grid, data: DataSet, examples: Examples, method: Method, prompt: int) -> Cost:
    """Returns what one cell costs at most; see `stages_of`."""
    return _sum(stages_of(grid, data, examples, method, prompt))


def stages_of(grid: Grid, data: DataSet, examples: Examples, method: Method, prompt: int) -> tuple[Stage, ...]:
    """Returns what runs in one cell at most: every trace uses its largest budget, and every answer has to be forced.

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
    train = len(examples.train)
    mistakes = train * min(MISTAKES_OF_AN_EXAMPLE, grid.leap_answers)
    stages = []
    if method == "LEAP":
        stages += [
            Stage(_sweep(data.budgets[-1:], answer, prompt), train * grid.leap_answers),
            Stage(_written(prompt + data.budgets[-1] + LEAP_TOKENS, PRINCIPLE_TOKENS), mistakes),
            Stage(_written(mistakes * PRINCIPLE_TOKENS + LEAP_TOKENS, CONDENSED * PRINCIPLE_TOKENS)),
        ]
    elif method != "Base":
        stages.append(Stage(_sweep(data.budgets, answer, prompt), train * grid.samples))
    if method == "PDP, raced":
        stages.append(Stage(Cost(1, prompt + data.budgets[-1], answer).times(SQUEEZING), 2 * train))
        stages += [Stage(swept, sweeps) for sweeps in _raced_sweeps(grid.trials, train)]
    return (*stages, Stage(swept, len(examples.test)))


def dollars(cost: Cost, model: Model) -> float | None:
    """Returns a cost in dollars, by the grid's own price or litellm's; None where there is neither."""
    try:
        price = Price(*(each / 1e6 for each in model.prices)) if model.prices else price_of(model.lm)
    except ModelError:
        return None
    return cost.prompt * price.prompt + cost.completion * price.output


def _raced_sweeps(candidates: int, examples: int) -> list[int]:
    """Sweeps of each heat of a race: the student's, those of the candidates that are left, and the composed sets'."""
    ends = heat_ends(examples)
    sweeps, others, before = [], candidates - 1, 0
    for heat, end in enumerate(ends):
        sweeps.append((1 + others) * (end - before))
        if heat == min(1, len(ends) - 1):  # composed sets run the earlier heats too
            sweeps[-1] += len(COMPOSED) * end
            others += len(COMPOSED)
        others, before = math.ceil(others / KEPT), end
    return sweeps


def _sum(stages: Sequence[Stage]) -> Cost:
    return sum((stage.cost for stage in stages), Cost())


def _sweep(budgets: Sequence[int], answer: int, prompt: int) -> Cost:
    """One example at every budget: one trace, and at each budget its cut is sent back for the answer."""
    calls = 1 + len(budgets)
    return Cost(calls, calls * prompt + sum(budgets), budgets[-1] + calls * answer)


def _written(prompt: int, tokens: int) -> Cost:
    """One text that LEAP has written: where it does not end in twice its tokens, it is asked for again."""
    return Cost(2, 2 * prompt + tokens, 3 * tokens)


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
