"""The price of an LM, by litellm's catalogue."""

from __future__ import annotations

from typing import Any

from anytime_dspy.errors import ModelError
from anytime_dspy.runtime.allowance import Price

__all__ = ["price_of"]


def price_of(model: str) -> Price:
    """Returns the price of a model.

    Add your own prices with `litellm.register_model`.

    Args:
        model: Its name, as for `dspy.LM`, such as `openai/gpt-4.1-mini`.

    Raises:
        ModelError: litellm has no price, or the model is free, so that dollars do not limit it.
    """
    import litellm  # slow to import: only where dollars are counted

    provider, _, name = model.partition("/")
    catalogue: dict[str, dict[str, Any]] = litellm.model_cost
    entry = catalogue.get(model) or catalogue.get(name) or {}
    if model not in catalogue and entry.get("litellm_provider") != provider:
        entry = {}  # another provider has another price for the same name
    price = Price(entry.get("input_cost_per_token") or 0.0, entry.get("output_cost_per_token") or 0.0)
    if not any(price):
        raise ModelError(
            f"a budget in dollars needs a price, and litellm has none for {model}: give the budget in tokens or "
            "seconds, or add the price with litellm.register_model"
        )
    return price
