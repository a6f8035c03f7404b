"""`Anytime`: a DSPy program with an answer at every budget."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Mapping, Sequence
from contextvars import copy_context
from pathlib import Path
from typing import Any

import dspy

from anytime_dspy.budgets import Budget
from anytime_dspy.checkpoint import Checkpoint
from anytime_dspy.errors import ProgramError
from anytime_dspy.runtime.answer_size import check_answer_sizes
from anytime_dspy.runtime.context import ANSWER_TOKENS, budget, current_tracker, inner_adapter
from anytime_dspy.runtime.inputs import takes_input
from anytime_dspy.runtime.multi_budget import MultiBudgetRun
from anytime_dspy.runtime.predictors import named_predictors
from anytime_dspy.runtime.tool_tape import tape_tools
from anytime_dspy.runtime.tracker import BudgetTracker
from anytime_dspy.state import BUDGETS_KEY, NOT_LEARNED, BudgetState, Mode, check_state
from anytime_dspy.stopping import Converged, check_stop
from anytime_dspy.storage.jsonl import reason_of

__all__ = ["Anytime", "AnytimePrediction", "AtBudget"]


class AnytimePrediction(dspy.Prediction):
    """The answer at the largest budget, and the answers on the way there.

    Attributes:
        checkpoints: One for each budget, in ascending order.
    """

    def __init__(self, base: dspy.Prediction, checkpoints: Sequence[Checkpoint] | None = None, **fields: Any) -> None:
        super().__init__({**base, **fields})
        self._completions = base.completions
        # DSPy copies a prediction by constructing a new one from it.
        self._checkpoints = base.checkpoints if checkpoints is None else tuple(checkpoints)

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """One checkpoint for each budget, in ascending order."""
        return self._checkpoints


class _Wrapper(dspy.Module):
    """The base of the two modules below: the program's own parameter names, and budgets that are saved with them."""

    def __init__(self, program: dspy.Module, state: BudgetState) -> None:
        super().__init__()
        self.program = program
        self.state = state

    def named_parameters(self) -> list[tuple[str, Any]]:
        """Returns the program's parameters under its own names, and the budgets.

        DSPy hides the parameters of a compiled program from the modules around it; this method does not.
        """
        return [*self.program.named_parameters(), (BUDGETS_KEY, self.state)]

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Returns the program's own state, and the budgets under a key that DSPy ignores."""
        return {
            **self.program.dump_state(json_mode=json_mode),
            BUDGETS_KEY: self.state.dump_state(json_mode=json_mode),
        }

    def load_state(self, state: Mapping[str, Any], **options: Any) -> None:
        """Loads a saved state, of this module or of the bare program.

        Raises:
            ProgramError: The state is of another program, or was edited into something else.
        """
        check_state(self.program, state)
        own = {name: value for name, value in state.items() if name not in NOT_LEARNED}
        self.program.load_state(own, **options)

    def load(self, path: str | Path, allow_pickle: bool = False, allow_unsafe_lm_state: bool = False) -> Any:
        """Loads what `save` wrote, or what DSPy wrote for the bare program.

        Returns:
            This module.

        Raises:
            ProgramError: The file cannot be read, or is of another program.
        """
        try:
            super().load(path, allow_pickle=allow_pickle, allow_unsafe_lm_state=allow_unsafe_lm_state)
        except OSError as error:
            raise ProgramError(f"cannot read {path}: {error.strerror or error}") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # JSON's own error is a ValueError
            raise ProgramError(
                f"{path} is no saved DSPy program: {reason_of(error)}; save one with program.save(path)"
            ) from error
        return self


class Anytime(_Wrapper):
    """Any DSPy program, with an answer at each of several budgets.

    A call runs the program once under the largest budget and replays it at each smaller one. LM calls that ended within
    that budget cost nothing again, the call in which it ends is cut and its answer forced, and later calls answer at
    once.

    Args:
        program: The program. It is not copied, and the functions of its `dspy.Tool`s are wrapped to be recorded.
        budgets: The reasoning tokens at which an answer is wanted, strictly increasing.
        answer_tokens: The most tokens of each answer, on top of them.
        mode: "trace" cuts one trace at every budget; "contract" runs the program once per budget, for programs that are
            told their budget.
        stop: A rule that ends a run before the largest budget. The budgets then run from the smallest up, as in
            `stream`, and the last answer is repeated for the larger ones at no cost.

    Raises:
        BudgetError: The budgets or the answer allowance cannot be used.
        ProgramError: `program` is no DSPy module, or has no predictor.

    Example:
        >>> anytime = Anytime(dspy.ChainOfThought("question -> answer"), budgets=(64, 128))
        >>> anytime.budgets
        (64, 128)
        >>> [name for name, _ in anytime.named_predictors()]
        ['predict']
    """

    def __init__(
        self,
        program: dspy.Module,
        budgets: Iterable[int] = (64, 128, 256, 512),
        *,
        answer_tokens: int = ANSWER_TOKENS,
        mode: Mode = "trace",
        stop: Converged | None = None,
    ) -> None:
        if not isinstance(program, dspy.Module):
            raise ProgramError(f"Anytime wraps a dspy.Module, not {type(program).__name__}")
        if isinstance(program, _Wrapper):
            raise ProgramError("the program is anytime already: wrap the program inside it (its .program) instead")
        super().__init__(program, BudgetState(budgets, answer_tokens, mode, stop))
        if not self.named_predictors():
            raise ProgramError(
                "the program has no predictor, so there is nothing to put a budget on: make its predictors in "
                "__init__, or run it inside `with ad.budget(...)`"
            )
        tape_tools(program)

    @property
    def budgets(self) -> tuple[int, ...]:
        """The budgets, in reasoning tokens."""
        return self.state.budgets

    @property
    def answer_tokens(self) -> int:
        """The most tokens of each answer, on top of a budget."""
        return self.state.answer_tokens

    def load_state(self, state: Mapping[str, Any], **options: Any) -> None:
        """Loads a saved state and its budgets; the state of a bare program leaves the budgets as they are.

        Raises:
            ProgramError: The state is of another program, or was edited into something else.
        """
        super().load_state(state, **options)
        if BUDGETS_KEY in state:
            self.state.load_state(state[BUDGETS_KEY])

    def at(self, tokens: int) -> AtBudget:
        """Returns the same program as a plain module that is bound to one budget: what gets deployed."""
        return AtBudget(self.program, tokens, answer_tokens=self.answer_tokens)

    def stream(
        self, *positional: Any, deadline: Any = None, stop: Any = None, **inputs: Any
    ) -> Generator[Checkpoint, None, None]:
        """Yields a checkpoint at each budget as it is reached, from the smallest up; the best answer is the last one.

        You can stop iterating at any time and resume later; nothing already generated is requested again. A new stream
        reuses DSPy's cache. On an engine that can continue a message, each step generates only the tokens beyond the
        last one. Elsewhere a message that was cut off is regenerated with a larger cap, which on a doubling grid costs
        at most twice the largest budget in all.

        The settings of `dspy.context` are those of the place where this is called.

        If the program has an input named `deadline` or `stop`, that argument is its input. Limit the time by
        `ad.budget(ad.Budget(seconds=...))` around the stream then; a `Converged` is always a stopping rule.

        Args:
            *positional: The program's positional inputs.
            deadline: Seconds from now. Reasoning ends with them, as in `Budget(seconds=...)`, and no further checkpoint
                is started; the first one is always yielded.
            stop: A `Converged` that ends the stream early; by default the rule of this module.
            **inputs: The program's inputs.

        Raises:
            BudgetError: `deadline` is not positive, or `stop` is no stopping rule.
        """
        run, rule = self._streamed(positional, inputs, deadline, stop)
        context = copy_context()

        def steps() -> Generator[Checkpoint, None, None]:
            for tokens in run.ascending(rule):
                yield context.run(run.step, tokens)

        return steps()

    def astream(
        self, *positional: Any, deadline: Any = None, stop: Any = None, **inputs: Any
    ) -> AsyncGenerator[Checkpoint, None]:
        """Yields a checkpoint at each budget as it is reached, asynchronously; see `stream`."""
        run, rule = self._streamed(positional, inputs, deadline, stop)
        context = copy_context()

        async def steps() -> AsyncGenerator[Checkpoint, None]:
            for tokens in run.ascending(rule):
                yield await context.run(asyncio.ensure_future, run.astep(tokens))

        return steps()

    def forward(self, *positional: Any, **inputs: Any) -> AnytimePrediction:
        """Answers at every budget; called by DSPy."""
        run = self._start(positional, inputs)
        if self.state.stop is None:
            run.descend()
        else:
            for tokens in self._order(run):
                run.step(tokens)
        return _prediction(run)

    async def aforward(self, *positional: Any, **inputs: Any) -> AnytimePrediction:
        """Answers at every budget, asynchronously; called by DSPy."""
        run = self._start(positional, inputs)
        for tokens in self._order(run):
            await run.astep(tokens)
        return _prediction(run)

    def _streamed(
        self, positional: Sequence[Any], inputs: dict[str, Any], deadline: Any, stop: Any
    ) -> tuple[MultiBudgetRun, Converged | None]:
        """Returns the run of a stream and its stopping rule; inputs named `deadline` or `stop` go to the program."""
        if deadline is not None and self._takes("deadline"):
            inputs, deadline = {**inputs, "deadline": deadline}, None
        if stop is not None and not isinstance(stop, Converged) and self._takes("stop"):
            inputs, stop = {**inputs, "stop": stop}, None
        return self._start(positional, inputs, deadline), check_stop(stop) or self.state.stop

    def _takes(self, name: str) -> bool:
        return takes_input(self.program, self.predictors(), name)

    def _start(
        self, positional: Sequence[Any], inputs: Mapping[str, Any], deadline: float | None = None
    ) -> MultiBudgetRun:
        predictors = named_predictors(self.program)
        check_answer_sizes((predictor for _, predictor in predictors), inner_adapter(), self.answer_tokens)
        clock = None
        if deadline is not None:
            clock = BudgetTracker(Budget(seconds=deadline), self.answer_tokens, parent=current_tracker())
        return MultiBudgetRun(self.program, positional, inputs, self.state, predictors, clock)

    def _order(self, run: MultiBudgetRun) -> Iterator[int]:
        """Returns the order of the budgets: ascending if a rule may stop the run before it pays for larger ones."""
        return run.ascending(self.state.stop) if self.state.stop else run.descending()


class AtBudget(_Wrapper):
    """A program bound to one budget, as `Anytime.at` returns it."""

    def __init__(self, program: dspy.Module, tokens: int, *, answer_tokens: int = ANSWER_TOKENS) -> None:
        super().__init__(program, BudgetState((tokens,), answer_tokens, "contract"))

    def forward(self, *positional: Any, **inputs: Any) -> dspy.Prediction:
        """Answers under the budget; called by DSPy."""
        with budget(self.state.budgets[-1], answer_tokens=self.state.answer_tokens):
            return self.program(*positional, **inputs)

    async def aforward(self, *positional: Any, **inputs: Any) -> dspy.Prediction:
        """Answers under the budget, asynchronously; called by DSPy."""
        with budget(self.state.budgets[-1], answer_tokens=self.state.answer_tokens):
            return await self.program.acall(*positional, **inputs)


def _prediction(run: MultiBudgetRun) -> AnytimePrediction:
    # An optimiser that collects DSPy's trace expects one run of the program, not one per budget.
    if dspy.settings.trace is not None:
        dspy.settings.trace.extend(run.trace)
    checkpoints = run.all_checkpoints()
    return AnytimePrediction(checkpoints[-1].prediction, checkpoints)
