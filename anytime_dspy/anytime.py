"""`Anytime`: a DSPy program with an answer at every budget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy

from anytime_dspy import formats
from anytime_dspy.budgeting import ANSWER_TOKENS, budget, enclosing
from anytime_dspy.checkpoint import Checkpoint
from anytime_dspy.errors import ProgramError
from anytime_dspy.saved import BUDGETS_KEY, NOT_LEARNED, BudgetState, Mode, check_state
from anytime_dspy.spending import Spending
from anytime_dspy.tape import Tape
from anytime_dspy.tools import tape_tools

__all__ = ["Anytime", "AnytimePrediction", "AtBudget"]


class AnytimePrediction(dspy.Prediction):
    """The answer at the largest budget, and the answers on the way there.

    Attributes:
        checkpoints: One for each budget, in ascending order.
    """

    def __init__(self, base: dspy.Prediction, checkpoints: Sequence[Checkpoint] | None = None, **fields: Any) -> None:
        super().__init__({**base, **fields})
        self._completions = base.completions
        # DSPy copies a prediction by making a new one from it.
        self._checkpoints = base.checkpoints if checkpoints is None else tuple(checkpoints)

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """One checkpoint for each budget, in ascending order."""
        return self._checkpoints


class _Wrapper(dspy.Module):
    """What the two modules below share: the program's own parameter names, and budgets that are saved with them."""

    def __init__(self, program: dspy.Module, state: BudgetState) -> None:
        super().__init__()
        self.program = program
        self.state = state

    def named_parameters(self) -> list[tuple[str, Any]]:
        """Returns the program's parameters under its own names, and the budgets.

        A program that was compiled by BootstrapFewShot hides its parameters from the modules around it; here they are
        seen all the same.
        """
        return [*self.program.named_parameters(), (BUDGETS_KEY, self.state)]

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Returns what `save` writes: the program's own state, and the budgets under a key that DSPy ignores."""
        return {
            **self.program.dump_state(json_mode=json_mode),
            BUDGETS_KEY: self.state.dump_state(json_mode=json_mode),
        }

    def load_state(self, state: Mapping[str, Any], **options: Any) -> None:
        """Takes over a saved state, of a bare program too.

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
            raise ProgramError(f"Cannot read {path}: {error.strerror or error}.") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:  # JSON's own error is a ValueError
            reason = f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
            raise ProgramError(
                f"{path} is no saved DSPy program: {reason}. Save one with program.save(path)."
            ) from error
        return self


class Anytime(_Wrapper):
    """Any DSPy program, with an answer at each of several budgets.

    A call runs the program once under the largest budget and replays it at each smaller one: calls that ended within
    that budget cost nothing again, the one in which it falls is cut and its answer forced, later ones answer at once.

    Args:
        program: The program; it is used as it is, not copied. The functions of its `dspy.Tool`s are wrapped, so that a
            tape can hear them.
        budgets: Reasoning tokens at which an answer is wanted, strictly increasing.
        answer_tokens: Tokens that each answer may take on top of them.
        mode: "trace" cuts one trace at every budget; "contract" runs the program once for each budget, as must be done
            where it is told its budget.

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
    ) -> None:
        if not isinstance(program, dspy.Module):
            raise ProgramError(f"Anytime wraps a dspy.Module, not {type(program).__name__}.")
        if isinstance(program, _Wrapper):
            raise ProgramError("The program is anytime already: wrap the program inside it (its .program) instead.")
        super().__init__(program, BudgetState(budgets, answer_tokens, mode))
        if not self.named_predictors():
            raise ProgramError("The program has no predictor, so there is nothing to put a budget on.")
        tape_tools(program)

    @property
    def budgets(self) -> tuple[int, ...]:
        """The budgets, in reasoning tokens."""
        return self.state.budgets

    @property
    def answer_tokens(self) -> int:
        """Tokens that each answer may take on top of a budget."""
        return self.state.answer_tokens

    def load_state(self, state: Mapping[str, Any], **options: Any) -> None:
        """Takes over a saved state and its budgets; these stay as they are where a bare program was saved.

        Raises:
            ProgramError: The state is of another program, or was edited into something else.
        """
        super().load_state(state, **options)
        if BUDGETS_KEY in state:
            self.state.load_state(state[BUDGETS_KEY])

    def at(self, tokens: int) -> AtBudget:
        """Returns the same program as a plain module that is bound to one budget: what gets deployed."""
        return AtBudget(self.program, tokens, answer_tokens=self.answer_tokens)

    def forward(self, **inputs: Any) -> AnytimePrediction:
        """Answers at every budget; DSPy calls this."""
        checkpoints: list[Checkpoint] = []
        tape = self._tape()
        for tokens in reversed(self.budgets):
            carried = self._carried(checkpoints, tokens)
            if carried is None:
                with self._running(tokens, tape, traced=not checkpoints) as spending:
                    prediction = self.program(**inputs)
                carried = _checkpoint(tokens, prediction, spending)
            checkpoints.append(carried)
        return AnytimePrediction(checkpoints[0].prediction, checkpoints[::-1])

    async def aforward(self, **inputs: Any) -> AnytimePrediction:
        """Answers at every budget, asynchronously; DSPy calls this."""
        checkpoints: list[Checkpoint] = []
        tape = self._tape()
        for tokens in reversed(self.budgets):
            carried = self._carried(checkpoints, tokens)
            if carried is None:
                with self._running(tokens, tape, traced=not checkpoints) as spending:
                    prediction = await self.program.acall(**inputs)
                carried = _checkpoint(tokens, prediction, spending)
            checkpoints.append(carried)
        return AnytimePrediction(checkpoints[0].prediction, checkpoints[::-1])

    def _tape(self) -> Tape | None:
        if self.state.mode == "contract":
            return None
        around = enclosing()
        return Tape(around.remaining if around else None)

    def _carried(self, checkpoints: Sequence[Checkpoint], tokens: int) -> Checkpoint | None:
        """A trace that ended within a smaller budget has its answer already."""
        if self.state.mode == "contract" or not checkpoints:
            return None
        last = checkpoints[-1]
        ended = last.reasoning_tokens <= tokens and not last.cut
        return replace(last, budget=tokens) if ended else None

    @contextmanager
    def _running(self, tokens: int, tape: Tape | None, *, traced: bool) -> Iterator[Spending]:
        names = {id(predictor): name for name, predictor in self.named_predictors()}
        # An optimiser that collects DSPy's trace wants one run of the program, not one for each budget.
        untraced = nullcontext() if traced else dspy.context(trace=[])
        with untraced, budget(tokens, answer_tokens=self.answer_tokens, tape=tape, names=names) as spending:
            yield spending


class AtBudget(_Wrapper):
    """A program bound to one budget, as `Anytime.at` returns it."""

    def __init__(self, program: dspy.Module, tokens: int, *, answer_tokens: int = ANSWER_TOKENS) -> None:
        super().__init__(program, BudgetState((tokens,), answer_tokens, "contract"))

    def forward(self, **inputs: Any) -> dspy.Prediction:
        """Answers under the budget; DSPy calls this."""
        with budget(self.state.budgets[-1], answer_tokens=self.state.answer_tokens):
            return self.program(**inputs)

    async def aforward(self, **inputs: Any) -> dspy.Prediction:
        """Answers under the budget, asynchronously; DSPy calls this."""
        with budget(self.state.budgets[-1], answer_tokens=self.state.answer_tokens):
            return await self.program.acall(**inputs)


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
        answered=spending.answered or _is_whole(prediction),
        usage=spending.usage,
        calls=spending.calls,
        cut=spending.cut,
    )


def _is_whole(prediction: dspy.Prediction) -> bool:
    """Whether every field of an answer holds something: an agent may answer well though a step of it was no good."""
    answers = {name: value for name, value in prediction.items() if name not in formats.REASONING_NAMES}
    return not any(value is None or (isinstance(value, str) and not value) for value in answers.values())
