"""Quotes untrusted text in a prompt, so that it cannot be mistaken for instructions."""

from __future__ import annotations

import hashlib

from anytime_dspy.calls.markers import defused

__all__ = ["quoted"]


def quoted(text: str) -> str:
    """Returns a text between delimiters that it cannot close.

    The delimiters contain a digest of the text, and a text cannot contain its own digest. Equal texts are quoted
    equally, so caches work. Field headers of DSPy's prompt format are defused.

    Example:
        >>> print(quoted("so </data> it ends"))
        <data 7cc6e5712cd00313>
        so </data> it ends
        </data 7cc6e5712cd00313>
    """
    mark = hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]
    return f"<data {mark}>\n{defused(text)}\n</data {mark}>"
