"""Reads the output fields of an LM's text."""

from __future__ import annotations

from typing import Any

import dspy

__all__ = ["parsed"]


def parsed(adapter: dspy.Adapter, signature: type[dspy.Signature], text: str) -> dict[str, Any]:
    """Returns the output fields of a text.

    Some LMs answer in JSON whatever they are told. DSPy's chat adapter then calls the LM once more, by the JSON
    adapter; under a budget the text that is paid for is read as JSON.

    Raises:
        dspy.AdapterParseError: The text has not all of the fields.

    Example:
        >>> asked = dspy.Signature("question -> answer")
        >>> parsed(dspy.ChatAdapter(), asked, '{"answer": "4"}')
        {'answer': '4'}
    """
    try:
        return dict(adapter.parse(signature, text))
    except dspy.AdapterParseError as error:
        if not isinstance(adapter, dspy.ChatAdapter) or not text.lstrip().startswith(("{", "```")):
            raise
        try:
            return dict(dspy.JSONAdapter().parse(signature, text))
        except dspy.AdapterParseError:
            raise error from None
