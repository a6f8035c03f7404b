"""The completion of one LM call, read from DSPy's history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import dspy

from anytime_dspy._dspy import lm15
from anytime_dspy.calls.thinking import split_thinking
from anytime_dspy.calls.tokens import TokenCounter, counter_for
from anytime_dspy.errors import ModelError, ProgramError

__all__ = ["Completion", "HistoryRecorder", "check_thinking_shown", "recording", "count_replayed_call"]

_SUMMARY = 2


@dataclass(frozen=True)
class Completion:
    """The parts of an LM call that matter for budgets.

    Attributes:
        text: The LM's text.
        truncated: Whether it was cut off at its cap (`finish_reason` is "length").
        values: The output fields as parsed by the inner adapter; None if it could not parse the text.
        prompt_tokens: Tokens sent.
        thinking: A reasoning model's thinking outside of its text; empty if its provider hides or summarises it.
        hidden_tokens: Tokens of that thinking, shown or not; they count against the cap of the call.
        seconds: Wall time of the call.
        dollars: Its price; None if the LM has none.
        cached: Whether it came from DSPy's cache, so that its time does not measure the LM.
        beyond: Tokens beyond its cap, where the LM rejects so low a cap: they are billed, and not in the text.
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
    beyond: int = 0

    def within(self, cap: int, counter: TokenCounter) -> Completion:
        """Returns the completion cut to a lower cap, as the LM would have written it."""
        text = counter.cut(self.text, max(0, cap - self.hidden_tokens))
        if text == self.text:
            return self
        beyond = counter.count(self.text) - counter.count(text)
        return replace(self, text=text, truncated=True, values=None, beyond=self.beyond + beyond)

    @property
    def conceals(self) -> bool:
        """Whether there was thinking that the provider does not show."""
        return self.hidden_tokens > 0 and not self.thinking


class HistoryRecorder:
    """Added to `dspy.settings.caller_modules`, so that DSPy reports each nested LM call to it."""

    def __init__(self) -> None:
        self.history: list[dict[str, Any]] = []
        self.replayed = 0

    @property
    def is_used(self) -> bool:
        """Whether any nested LM call was made or replayed."""
        return bool(self.history) or self.replayed > 0

    def completion(self, lm: Any, values: dict[str, Any] | None, seconds: float) -> Completion:
        """Returns the last recorded call.

        Args:
            lm: The LM that was called.
            values: The output fields as the adapter parsed them, or None.
            seconds: The wall time of the call.

        Raises:
            ProgramError: Nothing was recorded, because DSPy's history is off or the LM bypasses it.
        """
        if not self.history:
            raise ProgramError(f"no LM call was recorded, and budgets read DSPy's history: {_why_unrecorded(lm)}")
        counter = counter_for(lm)
        entry = self.history[-1]
        text = _part(entry["outputs"], "text")
        billed = _billed(entry)
        prompt_tokens = billed.prompt
        if prompt_tokens is None:
            prompt_tokens = sum(counter.count(str(message.get("content") or "")) for message in entry["messages"] or ())
        thinking = _part(entry["outputs"], "reasoning_content")
        hidden_tokens = counter.count(thinking)
        # Tokenizers differ by less than this factor: so short a text is a summary. Thinking in the text counts there.
        if billed.thinking > _SUMMARY * hidden_tokens and not split_thinking(text).thinking:
            thinking, hidden_tokens = "", billed.thinking
        return Completion(
            text=text,
            truncated=_finish_reason(entry["response"]) == "length",
            values=values,
            prompt_tokens=prompt_tokens,
            thinking=thinking,
            hidden_tokens=hidden_tokens,
            seconds=seconds,
            dollars=entry["cost"],
            cached=not entry["usage"],
        )


def _why_unrecorded(lm: Any) -> str:
    if dspy.settings.disable_history or dspy.settings.max_history_size <= 0:
        return "leave dspy.settings.disable_history off and max_history_size above 0"
    return (
        f"{type(lm).__name__} answers without recording its calls, as an LM does that overrides __call__ or acall; "
        "override forward and aforward instead, or make it dspy.LM(name, engine=...)"
    )


def recording(recorder: HistoryRecorder) -> Any:
    """Returns a context in which every LM call is reported to `recorder`."""
    return dspy.context(caller_modules=[*(dspy.settings.caller_modules or ()), recorder])


def count_replayed_call() -> None:
    """Reports a replayed call to the surrounding recorders."""
    for caller in dspy.settings.caller_modules or ():
        if isinstance(caller, HistoryRecorder):
            caller.replayed += 1


def check_thinking_shown(lm: Any, completion: Completion, counter: TokenCounter) -> None:
    """Checks that a completion shows its thinking, so that it can be cut.

    Raises:
        ModelError: It does not; the message says what the call cost.
    """
    if completion.conceals:
        hidden = completion.hidden_tokens
        dollars = "" if completion.dollars is None else f", {completion.dollars:.6f} dollars"
        raise ModelError(
            f"{lm.model} hides its thinking or only sums it up ({hidden} tokens of it), so that one trace cannot be "
            f'cut at every budget: use Anytime(program, mode="contract"), or set the reasoning_effort of the LM so low '
            f"that it thinks in the open. One call was paid for: {completion.prompt_tokens} prompt and "
            f"{hidden + counter.count(completion.text)} completion tokens{dollars}"
        )


class _Billed(NamedTuple):
    prompt: int | None
    thinking: int


def _billed(entry: Mapping[str, Any]) -> _Billed:
    response = entry["response"]
    if isinstance(response, lm15.Response):  # it has its usage also when it comes from DSPy's cache
        return _Billed(response.usage.input_tokens, response.usage.reasoning_tokens or 0)
    usage = entry["usage"] or {}
    details = usage.get("completion_tokens_details") or {}
    return _Billed(usage.get("prompt_tokens"), details.get("reasoning_tokens") or 0)


def _part(outputs: list[Any], name: str) -> str:
    output = outputs[0] if outputs else None
    parts = output if isinstance(output, dict) else {"text": output}
    return str(parts.get(name) or "")


def _finish_reason(response: Any) -> str | None:
    if isinstance(response, lm15.Response):
        return str(response.finish_reason)
    choices = getattr(response, "choices", None)  # litellm's own response
    return getattr(choices[0], "finish_reason", None) if choices else None
