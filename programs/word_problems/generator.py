"""New arithmetic word problems, told from the stories of `stories`."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import dspy

from anytime_dspy.errors import DataError
from anytime_dspy.programs.word_problems.stories import NAMES, STORIES, Sentence, Story

__all__ = ["generate"]

MOST_STEPS = 4
LARGEST_VALUE = 200


class _Quantity(NamedTuple):
    """The running quantity of a story and the expression that gives it."""

    value: int
    expression: str

    def then(self, operator: str, number: int) -> _Quantity:
        value = {
            "+": self.value + number,
            "-": self.value - number,
            "*": self.value * number,
            "/": self.value // number,
        }[operator]
        return _Quantity(value, f"({self.expression} {operator} {number})")


def generate(n: int, seed: int, *, steps: tuple[int, int] = (1, 2)) -> list[dspy.Example]:
    """Makes new word problems whose numbers stay whole, positive and small.

    Args:
        n: How many; no two are the same.
        seed: Example i depends on the seed, `steps` and the examples before it alone.
        steps: The least and the largest number of operations in a problem, drawn evenly.

    Returns:
        Examples with the input `problem`, the label `answer` (a number as text), `kind` (of story), `steps` and
        `expression` (such as `((3 * 4) - 2)`), with ids `words-{seed}-{i}`.

    Raises:
        DataError: The numbers of steps are out of range.
    """
    least, most = steps
    if not 1 <= least <= most <= MOST_STEPS:
        raise DataError(f"cannot make word problems of {least} to {most} steps: choose from 1 to {MOST_STEPS}")
    examples: dict[str, dspy.Example] = {}
    for i in range(n):
        random = Random(f"words-{seed}-{i}")
        count = random.randint(least, most)
        example = None
        while example is None or example.problem in examples:
            example = _told(random, random.choice(STORIES), count)
        examples[example.problem] = example.copy(id=f"words-{seed}-{i}")
    return list(examples.values())


def _told(random: Random, story: Story, steps: int) -> dspy.Example | None:
    """Returns one problem, or None where the numbers drawn on the way allow no next step."""
    plot = _plot(random, story, steps)
    name, they = random.choice(NAMES)
    words = {"name": name, "They": they, "they": they.lower(), "thing": random.choice(story.things)}
    first = random.randint(2, 12) if plot[0].operator else random.randint(6, 60)
    quantity = _Quantity(first, str(first))
    texts = []
    for sentence in plot:
        numbers = [first] if sentence is plot[0] else []
        if sentence.operator:
            choices = _numbers(sentence.operator, quantity.value)
            if not choices:
                return None
            number = random.choice(choices)
            numbers.append(number)
            quantity = quantity.then(sentence.operator, number)
        texts.append(sentence.text.format(*numbers, **words))
    return dspy.Example(
        problem=" ".join(texts),
        answer=str(quantity.value),
        kind=story.kind,
        steps=steps,
        expression=quantity.expression,
    ).with_inputs("problem")


def _plot(random: Random, story: Story, steps: int) -> list[Sentence]:
    """Returns a start, changes in the story's order and an end that hold `steps` operations together."""
    openings = [
        (start, end, changes)
        for start in story.starts
        for end in story.ends
        if 0 <= (changes := steps - bool(start.operator) - bool(end.operator)) <= len(story.changes)
    ]
    start, end, changes = random.choice(openings)
    chosen = random.sample(story.changes, changes)
    return [start, *(change for change in story.changes if change in chosen), end]


def _numbers(operator: str, value: int) -> list[int]:
    """Returns the numbers that may come next: every result stays whole and from 2 to `LARGEST_VALUE`."""
    if operator == "+":
        return list(range(2, min(25, LARGEST_VALUE - value) + 1))
    if operator == "-":
        return list(range(2, min(25, value - 2) + 1))
    if operator == "*":
        return list(range(2, min(12, LARGEST_VALUE // value) + 1))
    return [number for number in range(2, 13) if value % number == 0 and value > number]
