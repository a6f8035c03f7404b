"""One run of a program, taken from budget to budget on one tape, upwards or downwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from typing import Any

import dspy
from dspy.utils.exceptions import LMError

from anytime_dspy.answers import is_answered
from anytime_dspy.budgets import Budget
from anytime_dspy.checkpoint import Checkpoint
from anytime_dspy.errors import ProgramError
from anytime_dspy.runtime.context import enclosing, enforced
from anytime_dspy.runtime.tape import Tape
from anytime_dspy.runtime.tracker import Spending
from anytime_dspy.state import BudgetState
from anytime_dspy.stopping import Converged

__all__ = ["Walk"]


@dataclass
class Walk:
    """A program's answers at one budget after the other.

    Downwards each step replays the tape for free up to its own cut. Upwards each step goes on where the one before
    was cut off: on an engine that can continue a message only the tokens beyond it are paid, elsewhere that message is
    asked for anew with more allowed, which on a doubling grid costs at most twice the largest budget in all.

    Attributes:
        program: The program.
        positional: What it is asked without a name.
        inputs: What it is asked by name.
        state: The budgets, the allowance for answers, the mode.
        predictors: The program's predictors, by name.
        clock: A budget in seconds around all steps, if there is a deadline.
        checkpoints: Those reached so far, in the order of the steps.
        trace: DSPy's trace of the run at the largest budget so far.
    """

    program: dspy.Module
    positional: Sequence[Any]
    inputs: Mapping[str, Any]
    state: BudgetState
    predictors: Sequence[tuple[str, dspy.Predict]]
    clock: Spending | None = None
    checkpoints: list[Checkpoint] = field(default_factory=list)
    trace: list[Any] = field(default_factory=list)
    _tape: Tape = field(default_factory=Tape)

    def __post_init__(self) -> None:
        self._names = {id(predictor): name for name, predictor in self.predictors}

    def downwards(self) -> Iterator[int]:
        """Yields the budgets from the largest down, in which order forced answers find their prefix in a cache."""
        return reversed(self.state.budgets)

    def upwards(self, stop: Converged | None = None) -> Iterator[int]:
        """Yields the budgets from the smallest up, as long as there is time and the stopping rule is not met."""
        for tokens in self.state.budgets:
            yield tokens
            late = self.clock is not None and self.clock.left().seconds <= 0
            if late or (stop is not None and stop.is_met_by(self.checkpoints)):
                return

    def run_downwards(self) -> None:
        """Answers at every budget, from the largest down; the forced answers at once where the LM gains by that."""
        largest, *smaller = self.downwards()
        self.step(largest)
        if len(smaller) < 2 or not self._forces_together():
            for tokens in smaller:
                self.step(tokens)
            return
        with ThreadPoolExecutor(len(smaller)) as pool:
            # Each reads the one call that is on the tape, and none of them changes it.
            answers = [pool.submit(copy_context().run, self._answer, tokens) for tokens in smaller]
            self.checkpoints += [answer.result() for answer in answers]

    def rehearse(self) -> None:
        """Makes every call that needs no other one's answer, be they all refused; a batch collects them so.

        In trace mode the forced answers need the trace: without it only that is asked for.
        """
        for tokens in self.downwards():
            try:
                self.step(tokens)
            except LMError:
                if self.state.mode == "trace" and not self._tape.is_one_call:
                    return

    def step(self, tokens: int) -> Checkpoint:
        """Answers at one budget."""
        checkpoint = self._answer(tokens)
        self.checkpoints.append(checkpoint)
        return checkpoint

    async def astep(self, tokens: int) -> Checkpoint:
        """Answers at one budget, asynchronously."""
        checkpoint = self._carried(tokens)
        if checkpoint is None:
            with self._running(tokens) as spending:
                prediction = await self.program.acall(*self.positional, **self.inputs)
            checkpoint = _checkpoint(tokens, prediction, spending)
        self.checkpoints.append(checkpoint)
        return checkpoint

    def all_checkpoints(self) -> tuple[Checkpoint, ...]:
        """Returns one checkpoint a budget, in ascending order; the last answer stands for larger ones not reached."""
        reached = sorted(self.checkpoints, key=lambda checkpoint: checkpoint.budget)
        beyond = self.state.budgets[len(reached) :]
        return (*reached, *(replace(reached[-1], budget=tokens) for tokens in beyond))

    def _answer(self, tokens: int) -> Checkpoint:
        checkpoint = self._carried(tokens)
        if checkpoint is not None:
            return checkpoint
        with self._running(tokens) as spending:
            prediction = self.program(*self.positional, **self.inputs)
        return _checkpoint(tokens, prediction, spending)

    def _forces_together(self) -> bool:
        """Whether all cuts of the trace can be answered at once, and whether that is quicker.

        They can where the program made one call in all: then no answer decides what is asked next. It is quicker where
        the engine decodes requests together and reads what they share once.
        """
        if self.state.mode == "contract" or self.clock is not None or enclosing() is not None:
            return False
        if len(self.predictors) != 1 or not self._tape.is_one_call:
            return False
        engine = getattr(self.predictors[0][1].lm or dspy.settings.lm, "engine", None)
        return bool(getattr(engine, "shares_prefixes", False))

    def _carried(self, tokens: int) -> Checkpoint | None:
        """A trace that ended within a budget has its answer already.

        One that used up the budget to its last token is replayed: calls after that token had nothing left.
        """
        if self.state.mode == "contract" or not self.checkpoints:
            return None
        last = self.checkpoints[-1]
        ended = last.reasoning_tokens < min(last.budget, tokens) and not last.cut
        return replace(last, budget=tokens) if ended else None

    @contextmanager
    def _running(self, tokens: int) -> Iterator[Spending]:
        is_largest = all(checkpoint.budget < tokens for checkpoint in self.checkpoints)
        trace: list[Any] = []
        heard: dict[str, Any] = {} if is_largest else {"send_stream": None}  # a listener hears one answer, the best
        around = self.clock or enclosing()
        limit = self._limit(around, is_largest)
        spending = Spending(
            Budget(tokens=tokens), self.state.answer_tokens, parent=around, names=self._names, ceiling=limit
        )
        tape = None if self.state.mode == "contract" else self._tape
        with enforced(spending, tape, trace=trace, **heard):
            yield spending
        if is_largest:
            self.trace = trace

    def _limit(self, around: Spending | None, is_largest: bool) -> int | None:
        """What a step may reason with by the budget around it, which has paid for what is on the tape."""
        if around is None or self.state.mode == "contract":
            return None
        paid = max((checkpoint.reasoning_tokens for checkpoint in self.checkpoints), default=0)
        if not is_largest:
            return paid
        return None if around.remaining is None else paid + around.remaining


def _checkpoint(tokens: int, prediction: Any, spending: Spending) -> Checkpoint:
    if not isinstance(prediction, dspy.Prediction):
        kind = type(prediction).__name__
        raise ProgramError(f"The program returned a {kind}: a program that is to be anytime returns a dspy.Prediction.")
    return Checkpoint(
        budget=tokens,
        prediction=prediction,
        reasoning_tokens=spending.reasoning,
        answer_tokens=sum(call.answer_tokens for call in spending.calls),
        forced=spending.forced,
        answered=is_answered(prediction, spending.calls),
        usage=spending.usage,
        calls=spending.calls,
        cut=spending.cut,
        censored=spending.censored,
    )
