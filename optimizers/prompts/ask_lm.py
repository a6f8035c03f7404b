"""Short texts that an LM is asked to write for an optimiser: principles, instructions."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dspy

from anytime_dspy.calls.markers import defused
from anytime_dspy.checkpoint import Usage
from anytime_dspy.errors import AnytimeError
from anytime_dspy.optimizers.failures import reason_of
from anytime_dspy.runtime.context import budget

__all__ = ["Written", "distinct", "listed", "written"]

logger = logging.getLogger(__name__)

ALIKE = 0.8
"""The share of their words from which on two texts count as the same."""


@dataclass(frozen=True)
class Written:
    """What an LM wrote.

    Attributes:
        text: Without field headers of the prompt format; empty where nothing could be had.
        usage: What it cost.
        error: Why nothing could be had; None where the LM answered, be it with nothing.
    """

    text: str
    usage: Usage
    error: str | None = None


def written(signature: type[dspy.Signature], inputs: Mapping[str, Any], tokens: int) -> Written:
    """Asks the surrounding LM for the one output field of a signature.

    A failed call gives no text, and says why: it must not lose what was paid for before. Whoever asks has to tell of
    it (`Failures`), since no text and no answer are not the same.

    Args:
        signature: With one output field.
        inputs: Its inputs.
        tokens: What the text may take; an LM that rambles instead is cut off there, and asked for it.

    Raises:
        AnytimeError: The LM cannot be asked under a budget at all.
    """
    [field] = signature.output_fields
    with budget(tokens, answer_tokens=tokens) as spent:
        try:
            text = str(dspy.Predict(signature)(**inputs)[field] or "")
        except AnytimeError:
            raise
        except Exception as error:
            logger.warning("The LM wrote no %s: %s", field, error)
            return Written("", spent.usage, reason_of(error))
    return Written(defused(text).strip(), spent.usage)


def listed(text: str) -> list[str]:
    r"""Returns the entries of a list, one a line, whatever marks they begin with.

    Example:
        >>> listed("1. Add first.\n\n- **Be brief.**")
        ['Add first.', 'Be brief.']
    """
    bare = (re.sub(r"^\s*(?:[-*•]+|\d+[.)])\s+", "", line).strip().strip("*").strip() for line in text.splitlines())
    return [line for line in bare if line]


def distinct(texts: Iterable[str], *, known: Iterable[str] = ()) -> list[str]:
    """Returns the texts that say something new: they share fewer than four in five of their words with any before.

    Args:
        texts: In the order in which they are kept.
        known: What was said before them.

    Example:
        >>> distinct(["Add the numbers first.", "add the numbers first", "Check units."])
        ['Add the numbers first.', 'Check units.']
    """
    said = [text for text in known if _words(text)]
    kept: list[str] = []
    for text in texts:
        if _words(text) and all(_likeness(text, other) < ALIKE for other in (*said, *kept)):
            kept.append(text)
    return kept


def _likeness(text: str, other: str) -> float:
    here, there = _words(text), _words(other)
    return len(here & there) / len(here | there)


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))
