"""Splits texts into units that can be left out, and into the words that distinguish one input from another."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from anytime_dspy.calls.media import shown

__all__ = ["UNITS", "WordsOf", "shortest"]

_NUMBER = re.compile(r"(?<!\w)\d+(?:[.,]\d+)*")
"""A number; "step3" holds none."""
_WORD = re.compile(r"\w+(?:[.,]\d+)*")
_RARE = 0.2
"""A word that occurs in at most this share of the inputs is rare."""


def _parts(boundary: str) -> Callable[[str], list[str]]:
    pattern = re.compile(boundary)
    return lambda text: [part for part in (piece.strip() for piece in pattern.split(text)) if part]


UNITS: tuple[tuple[Callable[[str], list[str]], str], ...] = (
    (_parts(r"\n+"), "\n"),
    (_parts(r"(?<=[.!?])\s+(?=\S)"), " "),
    (_parts(r"(?<=[,;:])\s+"), " "),
    # "To find how many he has, we add 3 + 4 = 7". A run of words inside a sentence stays: without it the rest makes no
    # sense ("Zoe saves $2 10 weeks"), and the model learns to write like that.
    (_parts(r"(?:^|(?<=[\n.!?,;:] )|(?<=\n))((?:[^\W\d_]+[ '’-]+){2,}[^\W\d_]+)(?!\S)"), " "),
)
"""Lines, sentences, clauses, and what leads up to a formula (three or more words at the beginning of a sentence or
clause): how to split a text into each, and what joins them."""

_SENTENCE = re.compile(r"\n+|(?<=[.!?])\s+")


class WordsOf:
    """The words that distinguish an input from the others: its numbers, or without numbers its rare words.

    Args:
        inputs: The inputs of all examples.

    Example:
        >>> words = WordsOf([{"q": "Add 3 and 4."}, {"q": "Add 5 and 6."}])
        >>> sorted(words.in_inputs({"q": "Add 3 and 4."}))
        ['3', '4']
    """

    def __init__(self, inputs: Iterable[Mapping[str, Any]]) -> None:
        texts = [_text(one) for one in inputs]
        self._most = max(1.0, _RARE * len(texts))
        self._known = Counter(word for text in texts for word in _words(text))

    def in_inputs(self, inputs: Mapping[str, Any]) -> frozenset[str]:
        """Returns the distinguishing words of an input."""
        return self.in_text(_text(inputs))

    def in_text(self, text: str) -> frozenset[str]:
        """Returns the distinguishing words of a text: its numbers, or without numbers its rare ones."""
        numbers = frozenset(_NUMBER.findall(text))
        return numbers or frozenset(word for word in _words(text) if self._known[word] <= self._most)

    @staticmethod
    def share(words: frozenset[str], text: str, beside: frozenset[str] = frozenset()) -> float:
        """Returns the share of the words that occur in a text; 1 for no words.

        Args:
            words: The words to look for.
            text: The text.
            beside: Words that occur once for another reason, and count from their second occurrence on.
        """
        found = Counter(_WORD.findall(text.casefold()))
        return sum(found[word] > (word in beside) for word in words) / len(words) if words else 1.0

    @staticmethod
    def unexplained(text: str, inputs: Mapping[str, Any]) -> frozenset[str]:
        """Returns the numbers that a text does not work out: neither the inputs nor a calculation give them.

        A sentence that brings in new numbers works them out if it has at least as many known ones: of the inputs, or of
        the sentences before it.

        Example:
            >>> sorted(WordsOf.unexplained("11 * 8 = 88. 88 * 2 = 176.", {"q": "11 rows of 8, 2 dollars each"}))
            []
            >>> sorted(WordsOf.unexplained("88 * 2 = 176.", {"q": "11 rows of 8, 2 dollars each"}))
            ['176', '88']
        """
        found: set[str] = set()
        for sentence, new in _new_numbers(text, inputs):
            if sum(number not in new for number in _NUMBER.findall(sentence)) < len(new):
                found |= new
        return frozenset(found)

    @staticmethod
    def working(text: str, inputs: Mapping[str, Any]) -> str:
        """Returns the sentences of a text that bring in a number; all of it if none does, or the inputs have none.

        What a text repeats of its input it need not use: "12 albums of 7. 12 + 19 = 31" leaves the 7 out.
        """
        if not _NUMBER.search(_text(inputs)):
            return text
        return "\n".join(sentence for sentence, new in _new_numbers(text, inputs) if new) or text

    @staticmethod
    def explained(text: str, inputs: Mapping[str, Any]) -> float:
        """Returns the share of a text's own numbers, those beside the inputs', that it works out; 1 for none."""
        own = set(_NUMBER.findall(text)) - set(_NUMBER.findall(_text(inputs)))
        return 1 - len(WordsOf.unexplained(text, inputs)) / len(own) if own else 1.0

    @staticmethod
    def of_answer(answer: str) -> frozenset[str]:
        """Returns the words that identify an answer: its numbers, or without numbers all of its words."""
        return frozenset(_NUMBER.findall(answer)) or _words(answer)


def shortest(text: str, keeps: Callable[[str], bool], words: frozenset[str]) -> str:
    """Removes every unit that can be left out of a text: lines first, then sentences, then clauses.

    Units with the fewest words of the input are tried first: of two that state the answer, the one that works it out
    should remain. At least one unit remains.

    Args:
        text: The text; it is assumed to be acceptable.
        keeps: Whether a shorter text is acceptable.
        words: The distinguishing words of the input.

    Example:
        >>> shortest("First we add. 3 + 4 = 7. So it is 7.", lambda text: "7" in text, frozenset("34"))
        '3 + 4 = 7.'
    """
    for split, joint in UNITS:
        units = list(enumerate(split(text)))
        for unit in sorted(units, key=lambda unit: _density(unit[1], words)):
            fewer = [other for other in units if other is not unit]
            if fewer and keeps(joint.join(part for _, part in fewer)):
                units = fewer
        text = joint.join(part for _, part in units)
    return text


def _new_numbers(text: str, inputs: Mapping[str, Any]) -> Iterator[tuple[str, set[str]]]:
    """Yields each sentence with its numbers that are neither in the inputs nor in an earlier sentence."""
    known = set(_NUMBER.findall(_text(inputs)))
    for sentence in _SENTENCE.split(text):
        new = set(_NUMBER.findall(sentence)) - known
        yield sentence, new
        known |= new


def _density(unit: str, words: frozenset[str]) -> tuple[float, int]:
    length = len(unit)
    return len(words & _words(unit)) / max(1, length), -length


def _text(inputs: Mapping[str, Any]) -> str:
    return " ".join(map(shown, inputs.values()))


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.casefold()))
