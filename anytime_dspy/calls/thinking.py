"""A reasoning model's thinking: inside its text, shown beside it, or hidden by its provider."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

__all__ = ["CLOSE", "ThinkingSplit", "joined_trace", "least_effort", "split_thinking"]

OPEN, CLOSE = "<think>", "</think>"
_REPLY_BEGINS = ("[[ ##", "{", "<")


class ThinkingSplit(NamedTuple):
    """A text, split into its thinking and its reply.

    Attributes:
        head: The text before the thinking.
        thinking: The thinking, without its tags; empty if there is none.
        rest: The text after it.
    """

    head: str
    thinking: str
    rest: str


def split_thinking(text: str) -> ThinkingSplit:
    r"""Splits the thinking from a text, which may be cut off anywhere.

    Chat templates of DeepSeek-R1 and Qwen3 put the opening tag into the prompt, so the text may have the end tag only.

    Example:
        >>> split_thinking("<think>\n3 + 4\n</think>\n\n7")
        ThinkingSplit(head='<think>\n', thinking='3 + 4', rest='\n\n7')
        >>> split_thinking("<think>3 +").thinking
        '3 +'
        >>> split_thinking("3 + 4</think>7").rest
        '7'
        >>> split_thinking("7")
        ThinkingSplit(head='', thinking='', rest='7')
    """
    before, close, rest = text.partition(CLOSE)
    begin = before.find(OPEN) + len(OPEN) if before.lstrip().startswith(OPEN) else 0
    if not begin and (not close or before.lstrip().startswith(_REPLY_BEGINS)):
        return ThinkingSplit("", "", text)
    thought = before[begin:] if close else _without_half_a_tag(before[begin:])
    thinking = thought.strip()
    at = begin + len(thought) - len(thought.lstrip())
    return ThinkingSplit(before[:at], thinking, rest)


def joined_trace(thinking: str, reasoning: str) -> str:
    """Returns thinking and reasoning as one trace; where they are the same text, once."""
    parts = [thinking] if thinking.strip() == reasoning.strip() else [thinking, reasoning]
    return "\n\n".join(part for part in parts if part)


def least_effort(lm: Any) -> dict[str, str | None]:
    """Returns the option for a reasoning model's lowest effort, nothing if it is known to take none.

    Litellm's catalogue knows which models can be told not to think; every model with an effort takes "low".
    """
    if not getattr(lm, "supports_reasoning", False) or "reasoning_effort" not in getattr(lm, "supported_params", ()):
        return {}
    return {"reasoning_effort": _catalogued(str(lm.model)) if isinstance(getattr(lm, "engine", None), str) else "low"}


@lru_cache(maxsize=64)
def _catalogued(model: str) -> str | None:
    import litellm  # slow to import, and needed by then to count tokens

    try:
        info = litellm.get_model_info(model)
    except Exception:  # for an unknown model it raises an error without a public name
        return "low"
    if info.get("litellm_provider") == "anthropic":
        return None  # Claude thinks only when told to
    return next((effort for effort in ("none", "minimal") if info.get(f"supports_{effort}_reasoning_effort")), "low")


def _without_half_a_tag(text: str) -> str:
    halves = (CLOSE[:length] for length in range(len(CLOSE) - 1, 0, -1))
    return next((text[: -len(half)] for half in halves if text.endswith(half)), text)
