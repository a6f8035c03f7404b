"""What a run leaves at one budget: the answer, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import dspy

__all__ = ["AnswerState", "Call", "Checkpoint", "Usage", "answer_state"]

AnswerState = Literal["answered", "censored", "unreadable"]


@dataclass(frozen=True)
class Usage:
    """What LM calls cost, in four token columns that are never mixed.

    Attributes:
        prompt_tokens: Tokens sent, those that the provider read from its cache included.
        reasoning_tokens: Tokens generated before the answers; what a budget caps.
        answer_tokens: Tokens generated for answers, forced ones included.
        hidden_tokens: Thinking that a provider did inside a forced answer, where no budget reaches it. In any other
            call it counts as reasoning.
        calls: LM calls.
        seconds: Wall time inside LM calls. A call replayed from a tape counts the time that its whole completion took,
            one read from DSPy's cache the time it took now.
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
        dollars = [d for d in (self.dollars, other.dollars) if d is not None]
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            answer_tokens=self.answer_tokens + other.answer_tokens,
            hidden_tokens=self.hidden_tokens + other.hidden_tokens,
            calls=self.calls + other.calls,
            seconds=self.seconds + other.seconds,
            dollars=sum(dollars) if dollars else None,
        )


@dataclass(frozen=True)
class Call:
    """One predictor's call in a run under a budget.

    Attributes:
        predictor: The predictor's name in its program (the signature's name where it is not known).
        inputs: The values that it was called with.
        outputs: The values that it returned; the reasoning among them is cut to the budget.
        reasoning: The reasoning that counts, as one text.
        reasoning_tokens: What was charged to the budget.
        answer_tokens: Tokens of the answer that was returned.
        forced: Whether the answer had to be asked for.
        answered: Whether every answer field could be read.
        censored: Whether the answer filled its allowance before it was complete: what was read of it may be a fragment.
        unread: The answer fields that could not be read; they are None or empty among the outputs.
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
class Checkpoint:
    """The answer of a program at one budget.

    Attributes:
        budget: The cap on reasoning tokens.
        prediction: The program's answer under that cap.
        reasoning_tokens: Reasoning spent, at most `budget`.
        answer_tokens: Tokens of the answers.
        forced: Whether an answer had to be asked for because the budget ran out.
        answered: Whether an answer could be read, be it of every call or, at least, of every field of the prediction.
            An unanswered checkpoint has quality 0. A right None, or an empty list, is an answer.
        usage: What a run at this budget costs, all calls of the program included. In a stream a message has more calls,
            one for each time it was gone on with, and each has sent the prompt.
        calls: The calls of that run, in the order of their ends.
        cut: Whether a call was cut short, by the budget or by a lower cap of the user's own.
        censored: Whether the answer of a call filled its allowance before it was complete: what stands there may be a
            fragment, or too short to be read. It has the quality of what it is.
    """

    budget: int
    prediction: dspy.Prediction
    reasoning_tokens: int
    answer_tokens: int
    forced: bool
    answered: bool
    usage: Usage
    calls: tuple[Call, ...] = ()
    cut: bool = False
    censored: bool = False

    @property
    def state(self) -> AnswerState:
        """What the answer is: "censored" by its allowance, else "answered", or "unreadable"."""
        return answer_state(answered=self.answered, censored=self.censored)


def answer_state(*, answered: bool, censored: bool) -> AnswerState:
    """Returns which of the three an answer is; one that was cut off and cannot be read is censored."""
    return "censored" if censored else "answered" if answered else "unreadable"
