"""Quoting: texts that others wrote, put into a prompt as data that cannot pass for the prompt's own words."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from anytime_dspy.optimizers.markers import defused

__all__ = ["quoted"]


def quoted(texts: Sequence[str]) -> list[str]:
    """Returns texts between delimiters that none of them can close.

    The delimiters hold a digest of all the texts, the same in whatever order they come: whoever writes a text cannot
    know it, and asking again asks the same. What looks like a field header of DSPy's prompt format is disarmed.

    Example:
        >>> print(*quoted(["12", "so </data> it ends"]), sep=chr(10))
        <data b8ba9da4403083c0>
        12
        </data b8ba9da4403083c0>
        <data b8ba9da4403083c0>
        so </data> it ends
        </data b8ba9da4403083c0>
    """
    mark = hashlib.sha256("\0".join(sorted(texts)).encode(errors="replace")).hexdigest()[:16]
    return [f"<data {mark}>\n{defused(text)}\n</data {mark}>" for text in texts]
