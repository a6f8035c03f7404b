"""One input answered at several budgets, ascending or descending, from one tape."""

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
from anytime_dspy.checkpoint import Checkpoint, Usage
from anytime_dspy.errors import ProgramError
from anytime_dspy.runtime.context import current_tracker, enforce
from anytime_dspy.runtime.copies import own_copy
from anytime_dspy.runtime.predictors import lm_of
from anytime_dspy.runtime.tape import Tape
from anytime_dspy.runtime.telemetry import mark_span
from anytime_dspy.runtime.tracker import BudgetTracker
from anytime_dspy.state import BudgetState
from anytime_dspy.stopping import Converged

__all__ = ["MultiBudgetRun"]


@dataclass
class MultiBudgetRun:
    """Answers one input at one budget after another.

    In descending order each step replays the tape for free up to its own cut. In ascending order each step continues
    the message that the step before cut off. An engine that can continue a message generates only the tokens beyond it;
    elsewhere the message is regenerated with a larger cap, which on a doubling grid costs at most twice the largest
    budget in all.

    Attributes:
        program: The program.
        positional: Its positional inputs.
        inputs: Its inputs by name.
        state: The budgets, the answer tokens, the mode.
        predictors: The program's predictors, by name.
        clock: A budget in seconds around all steps, if there is a deadline.
        checkpoints: Those reached so far, in the order of the steps.
        trace: DSPy's trace of the run at the largest budget so far.
        paid: What each step paid for that was not on the tape yet.
    """

    program: dspy.Module
    positional: Sequence[Any]
    inputs: Mapping[str, Any]
    state: BudgetState
    predictors: Sequence[tuple[str, dspy.Predict]]
    clock: BudgetTracker | None = None
    checkpoints: list[Checkpoint] = field(default_factory=list)
    trace: list[Any] = field(default_factory=list)
    paid: list[Usage] = field(default_factory=list)
    _tape: Tape = field(default_factory=Tape)

    def __post_init__(self) -> None:
        self._names = {id(predictor): name for name, predictor in self.predictors}
        self._given = own_copy((tuple(self.positional), dict(self.inputs)))

    def descending(self) -> Iterator[int]:
        """Yields the budgets from the largest down: in this order forced answers reuse a server's prefix cache."""
        return reversed(self.state.budgets)

    def ascending(self, stop: Converged | None = None) -> Iterator[int]:
        """Yields the budgets from the smallest up, until the deadline or until the stopping rule is met."""
        for tokens in self.state.budgets:
            yield tokens
            late = self.clock is not None and self.clock.left().seconds <= 0
            if late or (stop is not None and stop.is_met_by(self.checkpoints)):
                return

    def descend(self) -> None:
        """Answers at every budget, from the largest down; forced answers run in parallel where that is faster."""
        largest, *smaller = self.descending()
        self.step(largest)
        if len(smaller) < 2 or not self._forces_together():
            for tokens in smaller:
                self.step(tokens)
            return
        with ThreadPoolExecutor(len(smaller)) as pool:
            # Each reads the one call on the tape, and none changes it.
            answers = [pool.submit(copy_context().run, self._answer, tokens) for tokens in smaller]
            self.checkpoints += [answer.result() for answer in answers]
        self._mark()

    def rehearse(self) -> None:
        """Makes every call that needs no other call's answer, even if the LM refuses them: so a batch collects them.

        In trace mode the forced answers need the trace: as long as it is missing, only the trace is asked for.
        """
        for tokens in self.descending():
            try:
                self.step(tokens)
            except LMError:
                if self.state.mode == "trace" and not self._tape.is_one_call:
                    return

    def step(self, tokens: int) -> Checkpoint:
        """Answers at one budget."""
        checkpoint = self._answer(tokens)
        self.checkpoints.append(checkpoint)
        self._mark()
        return checkpoint

    async def astep(self, tokens: int) -> Checkpoint:
        """Answers at one budget, asynchronously."""
        checkpoint = self._carried(tokens)
        if checkpoint is None:
            with self._running(tokens) as tracker:
                positional, inputs = self._arguments(tokens)
                prediction = await self.program.acall(*positional, **inputs)
            checkpoint = _checkpoint(tokens, prediction, tracker)
        self.checkpoints.append(checkpoint)
        self._mark()
        return checkpoint

    def all_checkpoints(self) -> tuple[Checkpoint, ...]:
        """Returns one checkpoint per budget, ascending; the last answer is repeated for budgets not reached."""
        reached = sorted(self.checkpoints, key=lambda checkpoint: checkpoint.budget)
        beyond = self.state.budgets[len(reached) :]
        return (*reached, *(replace(reached[-1], budget=tokens) for tokens in beyond))

    def _answer(self, tokens: int) -> Checkpoint:
        checkpoint = self._carried(tokens)
        if checkpoint is not None:
            return checkpoint
        with self._running(tokens) as tracker:
            positional, inputs = self._arguments(tokens)
            prediction = self.program(*positional, **inputs)
        return _checkpoint(tokens, prediction, tracker)

    def _arguments(self, tokens: int) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Returns the inputs of a run: the caller's own at the largest budget, and elsewhere copies of what they were.

        A program may change its inputs, as a chat does that adds its answer to a history: the caller sees that once,
        and no budget sees what another one added.
        """
        if tokens == self.state.budgets[-1]:
            return self.positional, self.inputs
        positional, inputs = own_copy(self._given)
        return positional, inputs

    def _forces_together(self) -> bool:
        """Whether the answers at all cuts can be forced in parallel, and whether that is faster.

        They can if the program made a single call, so that no answer decides on a later call. It is faster if the
        engine decodes requests in one batch and computes their common prefix once.
        """
        if self.state.mode == "contract" or self.clock is not None or current_tracker() is not None:
            return False
        if len(self.predictors) != 1 or not self._tape.is_one_call:
            return False
        engine = getattr(lm_of(self.predictors[0][1]), "engine", None)
        return bool(getattr(engine, "shares_prefixes", False))

    def _carried(self, tokens: int) -> Checkpoint | None:
        """Returns the last checkpoint for this budget too, if its trace ended within both budgets.

        A trace that used its budget to the last token is replayed, since later calls had no tokens left.
        """
        if self.state.mode == "contract" or not self.checkpoints:
            return None
        last = self.checkpoints[-1]
        ended = last.reasoning_tokens < min(last.budget, tokens) and not last.cut
        return replace(last, budget=tokens) if ended else None

    @contextmanager
    def _running(self, tokens: int) -> Iterator[BudgetTracker]:
        is_largest = all(checkpoint.budget < tokens for checkpoint in self.checkpoints)
        trace: list[Any] = []
        heard: dict[str, Any] = {} if is_largest else {"send_stream": None}  # a listener gets one answer, the best
        around = self.clock or current_tracker()
        limit = self._limit(around, is_largest)
        tracker = BudgetTracker(
            Budget(tokens=tokens), self.state.answer_tokens, parent=around, names=self._names, ceiling=limit
        )
        tape = None if self.state.mode == "contract" else self._tape
        with enforce(tracker, tape, trace=trace, **heard):
            yield tracker
        self.paid.append(tracker.paid)
        if is_largest:
            self.trace = trace

    def _mark(self) -> None:
        """Notes on the current span the best answer so far, and what it took to get here."""
        best = max(self.checkpoints, key=lambda checkpoint: checkpoint.budget)
        mark_span(best.budget, sum(self.paid, Usage()), forced=best.forced, answered=best.answered)

    def _limit(self, around: BudgetTracker | None, is_largest: bool) -> int | None:
        """Returns the reasoning tokens that the outer budget allows a step; it has paid for those on the tape."""
        if around is None or self.state.mode == "contract":
            return None
        paid = max((checkpoint.reasoning_tokens for checkpoint in self.checkpoints), default=0)
        if not is_largest:
            return paid
        return None if around.remaining is None else paid + around.remaining


def _checkpoint(tokens: int, prediction: Any, tracker: BudgetTracker) -> Checkpoint:
    if not isinstance(prediction, dspy.Prediction):
        kind = type(prediction).__name__
        raise ProgramError(f"the program returned a {kind}: a program that is to be anytime returns a dspy.Prediction")
    return Checkpoint(
        budget=tokens,
        prediction=prediction,
        reasoning_tokens=tracker.reasoning,
        answer_tokens=sum(call.answer_tokens for call in tracker.calls),
        forced=tracker.forced,
        answered=is_answered(prediction, tracker.calls),
        usage=tracker.usage,
        calls=tracker.calls,
        cut=tracker.cut,
        censored=tracker.censored,
    )
