"""Text rewritten so that its numbers stand in plain characters: LaTeX, markdown, Unicode's variants, words."""

from __future__ import annotations

import re

from anytime_dspy.programs.numbers.words import with_digits

__all__ = ["NARROW_SPACE", "plain"]

# What may stand between groups of digits beside a comma: made one sign, which is no other's.
NARROW_SPACE = "\u202f"
_SPACES = "\u00a0\u2007\u2008\u2009\u202f"
_SAME = str.maketrans(
    {
        **{chr(0xFF10 + digit): str(digit) for digit in range(10)},
        **dict.fromkeys("−﹣－\u2011", "-"),
        **dict.fromkeys("×·⋅∙✕", "*"),
        **dict.fromkeys("≃≅", "≈"),
        **dict.fromkeys("→⇒⟹", "\n"),
        "⁄": "/",
        "，": ",",
        "．": ".",
        "：": ":",
        "＝": "=",
        "％": "%",
        "＄": "$",
    }
)
_NUMERAL = r"\s*-?\d[\d.,]*\s*"
_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"<<[^<>\n]*>>", ""),  # GSM8K's notes for its calculator
        # The numbers of a list. In the first line one of two digits is the answer: "18. She sells 9 eggs."
        (r"(?<=\n)[ \t]*(?:#+[ \t]*)?\d{1,2}[.)][ \t]+(?=\S)|\A\s*(?:\d|#{1,3}[ \t]*\d\d)[.)][ \t]+(?=\S)", ""),
        (r"\+/-|\\pm(?![A-Za-z])", "±"),
        (r"\\([$%#_])", r"\1"),
        (r"(?<=\d)(?:,\\!|\s?\{\s?,\s?\})\s?(?=\d)", ","),
        (rf"(?<=\d)(?:\\[,;: ]|[~{_SPACES}])(?=\d{{3}}(?!\d))", NARROW_SPACE),
        (rf"\\[,;:! ]|[~{_SPACES}](?!\d{{3}}(?!\d))|(?<!\d)[{_SPACES}]", " "),
        (r"\\(?:left|right|displaystyle|q?quad|[bB]igg?[lr]?)(?![A-Za-z])", " "),
        (r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)|\\degree", "°"),
        (r"\\(?:text(?:bf|it|rm|normal)?|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}(?=\s*[_^])", r" \1"),
        (r"\\(?:text(?:bf|it|rm|normal)?|mathrm|mathbf|mathit|mbox|operatorname)\s*\{([^{}]*)\}", r" \1 "),
        (r"\\(?:times|cdot|ast)(?![A-Za-z])", "*"),
        (r"\\div(?![A-Za-z])", "÷"),
        (r"\\(?:approx|simeq|cong|doteq)(?![A-Za-z])", "≈"),
        (r"\\(?:Rightarrow|rightarrow|implies|to)(?![A-Za-z])|\\\\", "\n"),
        (r"\\[()\[\]]", " "),
        (r"&(?==)", ""),
        (rf"\\[dtc]?frac\s*\{{({_NUMERAL})\}}\s*\{{({_NUMERAL})\}}", r" \1/\2 "),
        (r"\\[dtc]?frac\s*(?:\{(\d+)\}|(\d))\s*(?:\{(\d+)\}|(\d))", r" \1\2/\3\4 "),
        (r"-\s+(?=\d+\s*/\s*\d)", "-"),
        (r"(?<!\d)\*\*|\*\*(?!\d)|__|`", ""),
        (r"(?<![A-Za-z])(?:USD|EUR|GBP|CAD|AUD|CHF|INR|Rs\.?|US(?=\$))\s?(?=[$\d])", "$"),
        (r"(?<=\d)\s?[xX]\s?(?=[$\d])", " * "),
    )
)
_EXCLAMATION = re.compile(r"(?<=\d)!(?!\S)")
_WORD = re.compile(r"[A-Za-z]{2}")
_LINE = 200


def plain(text: str) -> str:
    """Rewrites LaTeX, markdown, Unicode's variants and, where there is no digit, words into plain numbers."""
    text = text.translate(_SAME)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return with_digits(_EXCLAMATION.sub(_stop, text))


def _stop(mark: re.Match[str]) -> str:
    """Writes a stop for the mark of a sentence in words; after a number alone it is a factorial."""
    line_start = max(mark.string.rfind("\n", 0, mark.start()) + 1, mark.start() - _LINE)
    return "." if _WORD.search(mark.string, line_start, mark.start()) else mark[0]
