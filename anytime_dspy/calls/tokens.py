"""Token counters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any, Protocol, runtime_checkable

from anytime_dspy._dspy import litellm_tokenizer

__all__ = ["TokenCounter", "LiteLLMCounter", "counter_for", "cut_by_codec"]


@runtime_checkable
class TokenCounter(Protocol):
    """Counts the tokens of a text and cuts a text after a number of tokens.

    An engine with its own tokenizer has one as its attribute `counter`; for every other LM litellm's tokenizer for its
    model is used.
    """

    @property
    def name(self) -> str:
        """The name that counts are stored under, such as `litellm:gpt-4o`."""

    def count(self, text: str) -> int:
        """Returns the number of tokens in `text`."""

    def cut(self, text: str, tokens: int) -> str:
        """Returns the longest prefix of `text`, in whole tokens, for which `count` is at most `tokens`."""


def cut_by_codec(
    encode: Callable[[str], Sequence[int]], decode: Callable[[Sequence[int]], str], text: str, tokens: int
) -> str:
    """Cuts `text` with a tokenizer's two functions.

    A tokenizer may split a prefix differently from the whole text, and may cut inside a character. So the prefix is
    encoded again and shortened until it is a true prefix of at most `tokens` tokens.

    Args:
        encode: Text to token ids, without special tokens.
        decode: Token ids to text.
        text: The text.
        tokens: The most tokens to keep.

    Returns:
        A prefix of `text`.
    """
    if tokens <= 0:
        return ""
    ids = encode(text)
    if len(ids) <= tokens:
        return text
    for kept in range(tokens, 0, -1):
        # Half a character decodes to a replacement character, which is not in the text.
        prefix = decode(ids[:kept]).rstrip("�")
        if text.startswith(prefix) and len(encode(prefix)) <= tokens:
            return prefix
    return ""


class LiteLLMCounter:
    """Counts with litellm's tokenizer for a model (that of OpenAI for its models, tiktoken's default otherwise)."""

    def __init__(self, model: str) -> None:
        self._model = model
        # A sweep counts the same text at every budget.
        self._encode = lru_cache(maxsize=512)(self._encoded)

    @property
    def name(self) -> str:
        """The name that counts are stored under."""
        return f"litellm:{self._model}"

    def count(self, text: str) -> int:
        """Returns the number of tokens in `text`."""
        return len(self._encode(text))

    def cut(self, text: str, tokens: int) -> str:
        """Returns the longest prefix of `text` that has at most `tokens` tokens."""
        return cut_by_codec(self._encode, self._decode, text, tokens)

    @cached_property
    def _tokenizer(self) -> Any:
        return litellm_tokenizer(self._model)

    def _encoded(self, text: str) -> tuple[int, ...]:
        import litellm  # slow to import: only where an LM has no tokenizer of its own

        ids: Any = litellm.encode(text=text, custom_tokenizer=self._tokenizer)
        return tuple(getattr(ids, "ids", ids))  # Hugging Face tokenizers return an Encoding

    def _decode(self, ids: Sequence[int]) -> str:
        import litellm

        return str(litellm.decode(tokens=list(ids), custom_tokenizer=self._tokenizer))


_litellm_counter = lru_cache(maxsize=64)(LiteLLMCounter)


def counter_for(lm: Any) -> TokenCounter:
    """Returns the counter of an LM or of its engine, if it has one, otherwise litellm's for its model.

    Litellm does not know the tokenizers of most self-hosted models: set the right one as the LM's attribute `counter`,
    so that budgets count as the server does.

    Args:
        lm: Anything that DSPy runs a predictor on.
    """
    for owner in (lm, getattr(lm, "engine", None)):
        counter: Any = getattr(owner, "counter", None)
        if hasattr(counter, "cut"):  # called for every call; `isinstance` of a protocol is slow
            counts: TokenCounter = counter
            return counts
    return _litellm_counter(str(lm.model))
