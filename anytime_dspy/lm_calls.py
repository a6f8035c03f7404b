"""What one LM call wrote, read from the entry that DSPy records of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dspy
from dspy.lm15 import Response

from anytime_dspy.errors import ProgramError
from anytime_dspy.tokens import TokenCounter

__all__ = ["Completion", "Ledger", "recording", "tell_of_replay"]


@dataclass(frozen=True)
class Completion:
    """One LM call, as far as budgets are concerned.

    Attributes:
        text: What the LM wrote.
        truncated: Whether it was cut off at its cap (`finish_reason` is "length").
        values: The output fields as the inner adapter read them; None where it could not.
        prompt_tokens: Tokens sent.
        thinking: What a reasoning model thought outside of its text, as far as its provider shows it.
        hidden_tokens: Tokens of that thinking, shown or not; they count against the cap of the call.
        seconds: Wall time of the call.
        dollars: Its price; None where the LM has none.
        cached: Whether DSPy's cache had it, so that its time says nothing of the LM.
    """

    text: str
    truncated: bool
    values: dict[str, Any] | None = None
    prompt_tokens: int = 0
    thinking: str = ""
    hidden_tokens: int = 0
    seconds: float = 0.0
    dollars: float | None = None
    cached: bool = False


class Ledger:
    """Takes the place of a module in DSPy's list of callers, and so is told of every LM call below it."""

    def __init__(self) -> None:
        self.history: list[dict[str, Any]] = []
        self.replayed = 0

    @property
    def is_used(self) -> bool:
        """Whether any LM call was made below, or would have been if a tape had not held it."""
        return bool(self.history) or self.replayed > 0

    def completion(self, values: dict[str, Any] | None, seconds: float, counter: TokenCounter) -> Completion:
        """Returns the recorded call.

        Args:
            values: What the adapter read from it, or None.
            seconds: How long the call took.
            counter: Counts the prompt where the response does not hold its own count.

        Raises:
            ProgramError: Nothing was recorded, since DSPy's history is switched off.
        """
        if not self.history:
            raise ProgramError(
                "No LM call was recorded: budgets read DSPy's history, so leave dspy.settings.disable_history off "
                "and max_history_size above 0."
            )
        entry = self.history[-1]
        response = entry["response"]
        prompt_tokens = response.usage.input_tokens if isinstance(response, Response) else None
        if prompt_tokens is None:
            prompt_tokens = sum(counter.count(str(message.get("content") or "")) for message in entry["messages"] or ())
        thinking = _part(entry["outputs"], "reasoning_content")
        hidden_tokens = response.usage.reasoning_tokens if isinstance(response, Response) else None
        return Completion(
            text=_part(entry["outputs"], "text"),
            truncated=_finish_reason(response) == "length",
            values=values,
            prompt_tokens=prompt_tokens,
            thinking=thinking,
            hidden_tokens=counter.count(thinking) if hidden_tokens is None else hidden_tokens,
            seconds=seconds,
            dollars=entry["cost"],
            cached=not entry["usage"],
        )


def recording(ledger: Ledger) -> Any:
    """Returns a context in which `ledger` is told of every LM call."""
    return dspy.context(caller_modules=[*(dspy.settings.caller_modules or ()), ledger])


def tell_of_replay() -> None:
    """Tells the ledgers around this place of a call that a tape held."""
    for caller in dspy.settings.caller_modules or ():
        if isinstance(caller, Ledger):
            caller.replayed += 1


def _part(outputs: list[Any], name: str) -> str:
    output = outputs[0] if outputs else None
    parts = output if isinstance(output, dict) else {"text": output}
    return str(parts.get(name) or "")


def _finish_reason(response: Any) -> str | None:
    if isinstance(response, Response):
        return str(response.finish_reason)
    choices = getattr(response, "choices", None)  # litellm's own response
    return getattr(choices[0], "finish_reason", None) if choices else None
