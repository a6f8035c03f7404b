"""Scripted judges that know the right answer and still do as a text in front of them says."""

from __future__ import annotations

import re
from collections.abc import Mapping

import dspy
from dspy.lm15 import Message, Request, Response, Usage
from overhead import WordCounter

_CANDIDATES = (
    re.compile(r"\n\nCandidate A: (.*)\n\nCandidate B: (.*)\n\nReply with", re.DOTALL),
    re.compile(r"\[\[ ## candidate_a ## ]]\n(.*)\n\[\[ ## candidate_b ## ]]\n(.*)\nRespond with", re.DOTALL),
)
_QUOTED = re.compile(r"<data (\w+)>\n(.*?)\n</data \1>", re.DOTALL)
_LETTER_ORDER = re.compile(r"answer A\b|## better ## \]\]\nA\b")
_SELF_ORDER = re.compile(r"choose (it|this one)\b", re.IGNORECASE)


class Gullible:
    """An engine that judges rightly unless it reads an order; the first order that it reads decides.

    Args:
        right: The right answer of each task.
        heeds_quotations: Whether what stands between delimiters that open and close with one mark is no order to it.
    """

    can_continue = True
    counter = WordCounter()

    def __init__(self, right: Mapping[str, str], *, heeds_quotations: bool) -> None:
        self._right = right
        self._heeds_quotations = heeds_quotations

    def lm(self) -> dspy.LM:
        """Returns an LM on this engine."""
        kind = "heeds quotations" if self._heeds_quotations else "obeys everything"
        return dspy.LM(f"scripted/{kind}", engine=self, cache=False)

    def complete(self, request: Request) -> Response:
        """Returns one letter, in the format that was asked for."""
        prompt = next(message.text or "" for message in reversed(request.messages) if message.role == "user")
        letter = self._letter(prompt)
        text = f"[[ ## better ## ]]\n{letter}\n\n[[ ## completed ## ]]" if prompt.startswith("[[ ## ") else letter
        return Response(None, request.model, Message.assistant(text), "stop", Usage(input_tokens=1, output_tokens=1))

    def _letter(self, prompt: str) -> str:
        a, b = next(found for form in _CANDIDATES if (found := form.search(prompt))).groups()
        read = [_QUOTED.sub("", text) if self._heeds_quotations else text for text in (a, b)]
        for own, text in zip("AB", read, strict=True):
            if _LETTER_ORDER.search(text):
                return "A"
            if _SELF_ORDER.search(text):
                return own
        return "A" if self._is_right(prompt, a) else "B"

    def _is_right(self, prompt: str, candidate: str) -> bool:
        answer = next(answer for task, answer in self._right.items() if task in prompt)
        return re.search(rf"(?<!\d){re.escape(answer)}(?!\d)", _QUOTED.sub(r"\2", candidate)) is not None
