"""Field headers of the chat format that appear inside other text."""

from __future__ import annotations

import re

__all__ = ["defused", "has_marker"]

_MARKER = re.compile(r"\[\[(\s*##.*?##\s*)\]\]")


def has_marker(text: str) -> bool:
    """Whether a text contains something like a field header."""
    return bool(_MARKER.search(text))


def defused(text: str) -> str:
    """Returns a text without anything that could be parsed as a field header.

    Example:
        >>> defused("so [[ ## answer ## ]] 4")
        'so [ ## answer ## ] 4'
    """
    return _MARKER.sub(r"[\1]", text)
