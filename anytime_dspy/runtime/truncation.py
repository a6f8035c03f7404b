"""What a completion is worth under a budget: decided by one pure function, for live calls and replayed ones alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dspy
from dspy.utils.exceptions import AdapterParseError

from anytime_dspy.calls import formats
from anytime_dspy.calls.answer_fields import unread
from anytime_dspy.calls.completion import Completion
from anytime_dspy.calls.forced_answer import answer_signature
from anytime_dspy.calls.thinking import CLOSE, ThinkingSplit, joined_trace, split_thinking
from anytime_dspy.calls.tokens import TokenCounter
from anytime_dspy.runtime.allowance import Allowance

__all__ = ["Truncated", "parsed_fields", "truncate"]


@dataclass(frozen=True)
class Truncated:
    """A completion under an allowance.

    Attributes:
        values: The output fields, or None where the answer has still to be forced.
        reasoning: The reasoning that fits the budget, thinking before it included.
        begun: The same as the LM wrote it, with its header: an assistant's message that can be continued. Empty where
            nothing has to be forced.
        reasoning_tokens: What is charged to the budget, never more than was allowed: the reasoning, and whatever else
            was written beyond the answer's own allowance (a long answer, thinking, rambling on after the end).
        answer_tokens: Tokens that the call wrote beyond those.
        cut: Whether the call was cut off before it was complete.
        shortened: Whether reasoning that had been written was left out, since the budget does not cover it.
        censored: Whether the answer among the values was cut off, so that it may be a fragment.
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
    """Decides what counts of a completion under an allowance.

    A completion that was recorded under a larger allowance is first cut to what this one would have let the LM write,
    so that a replay sees what a live run sees.

    Args:
        adapter: The adapter whose format the completion is written in.
        signature: The signature that it answers.
        completion: What the LM wrote.
        allowance: What this call may use.
        counter: Counts the tokens.
    """
    hidden = min(completion.hidden_tokens, allowance.cap)
    written, total = completion.text, hidden + counter.count(completion.text)
    if total > allowance.cap:
        written = counter.cut(completion.text, allowance.cap - hidden)
        total = hidden + counter.count(written)
    inline = split_thinking(written)
    text = inline.rest[: formats.completion_end(adapter, signature, inline.rest)]
    # What stands behind the mark of completion is no part of the answer, cut off or not. An LM that filled its cap had
    # no token left to say that it had ended.
    cut = text == inline.rest and (completion.truncated or total >= allowance.cap)
    over = min(max(total - allowance.answer, 0), allowance.reasoning)
    thinking = inline.thinking or completion.thinking
    unseen = hidden if completion.conceals else 0
    is_whole = not cut and split_thinking(completion.text).rest[len(text) :].strip() in ("", formats.CHAT_END)
    # The adapter knows nothing of thinking inside a text, and may have taken it for the answer.
    values = completion.values if is_whole and not inline.thinking else None
    if values is None:
        values = parsed_fields(adapter, signature, text, thinking)
    split = formats.split(adapter, signature, text)
    if values is not None and not unread(adapter, signature, values, text, cut=cut):
        # What DSPy leaves out of the field, such as a remark before its header, was written and paid for as well.
        before = split.reasoning if split.answer_at is not None else ""
        reasoning = joined_trace(thinking, before or _reasoning(signature, values, split))
        if not formats.reasoning_fields(signature):  # no answer is given up for a remark before it
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
    """Returns the output fields that stand in a text, None where the adapter cannot read them.

    Args:
        adapter: The adapter whose format the text is written in.
        signature: The signature that it answers.
        text: What the LM wrote, its thinking left out.
        thinking: That thinking: who has thought already often leaves out the field for it.
    """
    try:
        return dict(adapter.parse(signature, text))
    except AdapterParseError:
        if not thinking or not formats.reasoning_fields(signature):
            return None
    answers = parsed_fields(adapter, answer_signature(signature), text, "")
    return None if answers is None else {**formats.reasoning_value(signature, thinking), **answers}


def _reasoning(signature: type[dspy.Signature], values: dict[str, Any], split: formats.Split) -> str:
    """Returns the reasoning as one text: of another type than text, as the LM wrote it."""
    held = [values[name] for name in formats.reasoning_fields(signature) if values.get(name)]
    if all(isinstance(value, str | dspy.Reasoning) for value in held):
        return "\n\n".join(map(str, held))
    return split.reasoning


def _begun(written: str, inline: ThinkingSplit, split: formats.Split, length: int) -> str:
    """Returns what had been written when the trace had `length` characters; thinking inside the text is closed."""
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
    """Whether an answer that was cut off had less room than its allowance, so that it is better asked for again."""
    return split.answer_at is None or counter.count(text[split.answer_at :]) < allowance.answer
