"""Quoting: texts that others wrote, put into a prompt as data that cannot pass for the prompt's own words."""

from __future__ import annotations

import hashlib

from anytime_dspy.calls.markers import defused

__all__ = ["quoted"]


def quoted(text: str) -> str:
    """Returns a text between delimiters that it cannot close itself.

    They hold a digest of the text: nobody can write a text that holds its own digest. The same text is always quoted
    alike, so caches hold. What looks like a field header of DSPy's prompt format is disarmed.

    Example:
        >>> print(quoted("so </data> it ends"))
        <data 7cc6e5712cd00313>
        so </data> it ends
        </data 7cc6e5712cd00313>
    """
    mark = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]
    return f"<data {mark}>\n{defused(text)}\n</data {mark}>"
