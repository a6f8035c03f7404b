"""Asks an LM for short texts, such as principles and styles."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import dspy

from anytime_dspy.calls.markers import defused
from anytime_dspy.checkpoint import Usage
from anytime_dspy.errors import AnytimeError
from anytime_dspy.optimizers.failures import one_line
from anytime_dspy.optimizers.likeness import jaccard
from anytime_dspy.runtime.context import budget

__all__ = ["Proposals", "Written", "distinct", "listed", "written"]

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

ALIKE = 0.8
"""Two texts that share at least this part of their words count as duplicates."""


@dataclass(frozen=True)
class Written:
    """A text that an LM wrote.

    Attributes:
        text: The text, without field headers of the prompt format; empty if the request failed.
        usage: The cost.
        error: The error of the request; None if it did not fail, even if the text is empty.
    """

    text: str
    usage: Usage
    error: str | None = None


@dataclass(frozen=True)
class Proposals(Generic[Item]):
    """What an LM proposed: principles, styles or instructions.

    Attributes:
        kept: The different ones, in order; there may be fewer than requested, or none.
        usage: The cost of writing them.
    """

    kept: tuple[Item, ...] = ()
    usage: Usage = field(default_factory=Usage)


def written(signature: type[dspy.Signature], inputs: Mapping[str, Any], tokens: int) -> Written:
    """Asks the LM of the surrounding context for the only output field of a signature.

    A failed request returns its error, so that it does not lose what was already paid for. The caller must report it
    (see `Failures`), because a failed request is not an empty answer.

    Args:
        signature: A signature with one output field.
        inputs: The inputs.
        tokens: The token limit of the text; longer reasoning before it is cut, and the text is forced.

    Raises:
        AnytimeError: The LM cannot be called under a budget.
    """
    [field] = signature.output_fields
    with budget(tokens, answer_tokens=tokens) as spent:
        try:
            text = str(dspy.Predict(signature)(**inputs)[field] or "")
        except AnytimeError:
            raise
        except Exception as error:
            logger.warning("The LM wrote no %s: %s", field, error)
            return Written("", spent.usage, one_line(error))
    return Written(defused(text).strip(), spent.usage)


def listed(text: str) -> list[str]:
    r"""Returns the entries of a list with one entry per line, without bullets and numbers.

    Example:
        >>> listed("1. Add first.\n\n- **Be brief.**")
        ['Add first.', 'Be brief.']
    """
    bare = (re.sub(r"^\s*(?:[-*•]+|\d+[.)])\s+", "", line).strip().strip("*").strip() for line in text.splitlines())
    return [line for line in bare if line]


def distinct(texts: Iterable[str], *, known: Iterable[str] = ()) -> list[str]:
    """Returns the texts without near-duplicates, which share four in five of their words with an earlier text.

    Args:
        texts: The texts, in order of priority.
        known: Earlier texts, which are not returned.

    Example:
        >>> distinct(["Add the numbers first.", "add the numbers first", "Check units."])
        ['Add the numbers first.', 'Check units.']
    """
    said = [text for text in known if _words(text)]
    kept: list[str] = []
    for text in texts:
        if _words(text) and all(jaccard(_words(text), _words(other)) < ALIKE for other in (*said, *kept)):
            kept.append(text)
    return kept


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))
