"""Tells the styles of reasoning apart in a prompt, whatever their sentences say."""

from __future__ import annotations

import re

from anytime_dspy.optimizers.traces.styles import PLAIN, STYLES


def style_of(text: str) -> str:
    """Returns the name of the style whose sentence stands in a prompt, "plain" where none does."""
    for style in STYLES:
        sentence = re.escape(style.render("", (0,)).strip()).replace("0", r"\d+")
        if style is not PLAIN and re.search(sentence, text):
            return style.name
    return PLAIN.name
