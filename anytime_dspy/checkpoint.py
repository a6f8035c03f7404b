"""What a run leaves at one budget: the answer, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import dspy
from pydantic import JsonValue

__all__ = ["AnswerState", "BudgetOutcome", "Call", "Checkpoint", "ScoredCheckpoint", "Usage"]

AnswerState = Literal["answered", "censored", "unreadable"]


@dataclass(frozen=True)
class Usage:
    """The cost of LM calls, in four token columns that are never mixed.

    Attributes:
        prompt_tokens: Tokens sent, those that the provider read from its cache included.
        reasoning_tokens: Tokens generated before the answers; what a budget caps.
        answer_tokens: Tokens generated for answers, forced ones included.
        hidden_tokens: Thinking that a provider did inside a forced answer, where no budget reaches it. In any other
            call it counts as reasoning.
        calls: LM calls.
        seconds: Wall time inside LM calls. A call replayed from a tape counts the time that its whole completion took,
            one read from DSPy's cache the time that reading took.
        dollars: Price by DSPy's or litellm's catalogue; None where the LM has no price.
    """

    prompt_tokens: int = 0
    reasoning_tokens: int = 0
    answer_tokens: int = 0
    hidden_tokens: int = 0
    calls: int = 0
    seconds: float = 0.0
    dollars: float | None = None

    @property
    def tokens(self) -> int:
        """Tokens of all four columns."""
        return self.prompt_tokens + self.reasoning_tokens + self.answer_tokens + self.hidden_tokens

    def __add__(self, other: Usage) -> Usage:
        return self._with(other, 1)

    def __sub__(self, other: Usage) -> Usage:
        return self._with(other, -1)

    def _with(self, other: Usage, sign: int) -> Usage:
        is_unpriced = self.dollars is None and (other.dollars is None or sign < 0)
        dollars = None if is_unpriced else (self.dollars or 0.0) + sign * (other.dollars or 0.0)
        return Usage(
            prompt_tokens=self.prompt_tokens + sign * other.prompt_tokens,
            reasoning_tokens=self.reasoning_tokens + sign * other.reasoning_tokens,
            answer_tokens=self.answer_tokens + sign * other.answer_tokens,
            hidden_tokens=self.hidden_tokens + sign * other.hidden_tokens,
            calls=self.calls + sign * other.calls,
            seconds=self.seconds + sign * other.seconds,
            dollars=dollars,
        )


@dataclass(frozen=True)
class Call:
    """One predictor call in a run under a budget.

    Attributes:
        predictor: The predictor's name in its program; the signature's name where that is not known.
        inputs: The values that it was called with.
        outputs: The values that it returned, the reasoning among them cut to the budget.
        reasoning: The reasoning that counts, as one text.
        reasoning_tokens: Tokens charged to the budget.
        answer_tokens: Tokens of the answer that was returned.
        forced: Whether the answer had to be forced.
        answered: Whether every answer field could be read.
        censored: Whether the answer filled its allowance before it was complete: its values may be fragments.
        unread: The answer fields that could not be read; among the outputs they are None or empty.
    """

    predictor: str
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    reasoning: str
    reasoning_tokens: int
    answer_tokens: int
    forced: bool
    answered: bool
    censored: bool = False
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class BudgetOutcome:
    """The answer of a program at one budget.

    Attributes:
        budget: The cap on reasoning tokens.
        prediction: The program's answer under that cap.
        reasoning_tokens: Reasoning tokens spent, at most `budget`.
        answer_tokens: Tokens of the answers.
        forced: Whether an answer was forced because the budget ran out.
        answered: Whether an answer could be read: of every call or, at least, in every field of the prediction. An
            unanswered checkpoint has quality 0. A right None, or an empty list, is an answer.
        usage: What a run at this budget costs, with all calls of the program. In a stream a message may take several
            calls, each of which has sent the prompt.
        censored: Whether the answer of a call filled its allowance before it was complete: it may be a fragment, or too
            short to be read. Its quality is that of what was read.
    """

    budget: int
    prediction: Any
    reasoning_tokens: int
    answer_tokens: int
    forced: bool
    answered: bool
    usage: Usage
    censored: bool = False

    @property
    def state(self) -> AnswerState:
        """Returns "censored" where the allowance cut the answer off, else "answered" or "unreadable"."""
        return "censored" if self.censored else "answered" if self.answered else "unreadable"


@dataclass(frozen=True)
class Checkpoint(BudgetOutcome):
    """The answer of a program at one budget, as `Anytime` returns it; see `BudgetOutcome` for its other attributes.

    Attributes:
        prediction: The program's answer under that cap.
        calls: The calls of that run, in the order in which they ended.
        cut: Whether a call was truncated, by the budget or by a lower cap of the user's own.
    """

    prediction: dspy.Prediction
    calls: tuple[Call, ...] = ()
    cut: bool = False


@dataclass(frozen=True)
class ScoredCheckpoint(BudgetOutcome):
    """A checkpoint as a run stores it; see `BudgetOutcome` for its other attributes.

    Attributes:
        prediction: The output fields, as JSON.
        quality: The quality function's value over its `q_max`, in [0, 1]; 0 where there was no answer.
    """

    prediction: dict[str, JsonValue]
    quality: float = field(kw_only=True)
