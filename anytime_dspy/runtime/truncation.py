"""Truncates a completion to a budget and decides whether it already holds an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dspy

from anytime_dspy.calls import formats
from anytime_dspy.calls.answer_fields import unread
from anytime_dspy.calls.completion import Completion
from anytime_dspy.calls.forced_answer import answer_signature
from anytime_dspy.calls.parsing import parsed
from anytime_dspy.calls.thinking import CLOSE, ThinkingSplit, joined_trace, split_thinking
from anytime_dspy.calls.tokens import TokenCounter
from anytime_dspy.runtime.allowance import Allowance

__all__ = ["Truncated", "parsed_fields", "truncate"]


@dataclass(frozen=True)
class Truncated:
    """A completion that was truncated to an allowance.

    Attributes:
        values: The output fields, or None if the answer must be forced.
        reasoning: The reasoning that fits the budget, with the thinking before it.
        begun: The same text as the LM wrote it, with its header: an assistant message that can be continued. Empty if
            no answer must be forced.
        reasoning_tokens: Tokens charged to the budget, never more than it allows: the reasoning, and whatever exceeds
            the answer's own allowance (a long answer, thinking, text after the end mark).
        answer_tokens: The other tokens of the call.
        cut: Whether the call ended before it was complete.
        shortened: Whether the budget does not cover all of the reasoning.
        censored: Whether the answer was truncated, so that it may be a fragment.
    """

    values: dict[str, Any] | None
    reasoning: str
    begun: str
    reasoning_tokens: int
    answer_tokens: int
    cut: bool
    shortened: bool = False
    censored: bool = False


def truncate(
    adapter: dspy.Adapter,
    signature: type[dspy.Signature],
    completion: Completion,
    allowance: Allowance,
    counter: TokenCounter,
) -> Truncated:
    """Truncates a completion to an allowance and decides whether it already holds an answer.

    A completion that was recorded under a larger allowance is first cut to this one's cap, so that a replay gives what
    a live run gives.

    Args:
        adapter: The adapter whose format the completion is in.
        signature: The signature of the call.
        completion: The completion.
        allowance: The allowance of the call.
        counter: Counts the tokens.
    """
    hidden = min(completion.hidden_tokens, allowance.cap)
    written, total = completion.text, hidden + counter.count(completion.text)
    if total > allowance.cap:
        written = counter.cut(completion.text, allowance.cap - hidden)
        total = hidden + counter.count(written)
    inline = split_thinking(written)
    end = formats.completion_end(adapter, signature, inline.rest)
    text = inline.rest[:end]
    # Text after the end mark is no part of the answer. An LM that filled its cap had no token left for an end of text.
    cut = text == inline.rest and (completion.truncated or total >= allowance.cap)
    over = min(max(total - allowance.answer, 0), allowance.reasoning)
    thinking = inline.thinking or completion.thinking
    unseen = hidden if completion.conceals else 0
    rest = inline.rest if written == completion.text else split_thinking(completion.text).rest
    is_whole = not cut and rest[len(text) :].strip() in ("", formats.CHAT_END)
    # The adapter does not know of thinking inside a text, and may have parsed it as the answer.
    values = completion.values if is_whole and not inline.thinking else None
    if values is None:
        values = parsed_fields(adapter, signature, text, thinking)
    split = formats.split(adapter, signature, inline.rest, end)
    if values is not None and not unread(adapter, signature, values, text, cut=cut):
        # Text before the field's header was generated too, though DSPy leaves it out of the field.
        before = split.reasoning if split.answer_at is not None else ""
        reasoning = joined_trace(thinking, before or _reasoning(signature, values, split))
        if not formats.reasoning_fields(signature):  # a remark before the answer must not cost the answer
            kept = max(allowance.reasoning - unseen, counter.count(thinking))
            reasoning = counter.cut(reasoning, kept).rstrip()
        spent = max(unseen + counter.count(reasoning), over)
        if spent <= allowance.reasoning and not (cut and _is_short(split, text, allowance, counter)):
            censored = cut and not formats.is_complete(adapter, signature, text)
            return Truncated(values, reasoning, "", spent, max(0, total - spent), cut, censored=censored)
    whole = joined_trace(thinking, split.reasoning)
    reasoning = counter.cut(whole, allowance.reasoning - unseen).rstrip()
    spent = min(max(unseen + counter.count(reasoning), over), allowance.reasoning)
    begun = _begun(written, inline, split, len(reasoning))
    shortened = reasoning != whole
    return Truncated(None, reasoning, begun, spent, max(0, total - spent), cut or shortened, shortened)


def parsed_fields(
    adapter: dspy.Adapter, signature: type[dspy.Signature], text: str, thinking: str = ""
) -> dict[str, Any] | None:
    """Returns the output fields of a text, None if the adapter cannot parse it.

    Args:
        adapter: The adapter whose format the text is in.
        signature: The signature of the call.
        text: What the LM wrote, without its thinking.
        thinking: Its thinking. Models that think often leave the reasoning field out.
    """
    try:
        return parsed(adapter, signature, text)
    except dspy.AdapterParseError:
        if not thinking or not formats.reasoning_fields(signature):
            return None
    answers = parsed_fields(adapter, answer_signature(signature), text, "")
    return None if answers is None else {**formats.reasoning_value(signature, thinking), **answers}


def _reasoning(signature: type[dspy.Signature], values: dict[str, Any], split: formats.Split) -> str:
    """Returns the reasoning as one text; if its type is not text, as the LM wrote it."""
    held = [values[name] for name in formats.reasoning_fields(signature) if values.get(name)]
    if all(isinstance(value, str | dspy.Reasoning) for value in held):
        return "\n\n".join(map(str, held))
    return split.reasoning


def _begun(written: str, inline: ThinkingSplit, split: formats.Split, length: int) -> str:
    """Returns the text up to where the trace has `length` characters, with an end tag after cut thinking."""
    if inline.thinking:
        if length <= len(inline.thinking):
            return f"{written[: len(inline.head) + length]}\n{CLOSE}"
        length -= len(inline.thinking) + len("\n\n")
    offset = end = len(written) - len(inline.rest)
    for passage in split.passages:
        end = offset + passage.at + min(length, len(passage.text))
        length -= len(passage.text) + len("\n\n")
        if length <= 0:
            break
    return written[:end]


def _is_short(split: formats.Split, text: str, allowance: Allowance, counter: TokenCounter) -> bool:
    """Whether a truncated answer had fewer tokens than its allowance, so that it should be forced."""
    return split.answer_at is None or counter.count(text[split.answer_at :]) < allowance.answer
