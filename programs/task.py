"""What a task is: a signature, its data, and how an answer to it is scored."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import dspy

from anytime_dspy.answers import AnswerKey
from anytime_dspy.errors import DataError

__all__ = ["AnswerKey", "Loader", "Quality", "Task", "field_text"]


class Loader(Protocol):
    """Reads a task's examples from a file, a url or, without a path, from where they are published."""

    def __call__(self, path: str | Path | None = None, split: str = "test") -> list[dspy.Example]:
        """Returns examples with their inputs set and an `id`, a string that is no input and never changes.

        Splits are the task's own; one that is called "train" shares no example with "test".
        """


class Quality(Protocol):
    """Scores one answer."""

    def __call__(self, example: dspy.Example, prediction: dspy.Prediction | None) -> float:
        """Returns a quality in [0, 1]; a missing or unreadable answer scores 0.0 and never raises."""


@dataclass(frozen=True)
class Task:
    """One task that a program can be swept and compiled on.

    A plug-in fills one of these and names it `task`, in a file of its own or behind an entry point of the group
    `anytime_dspy.tasks`.

    Attributes:
        name: What the task is called on the command line and in a run folder.
        version: Part of a run's fingerprint: change it whenever the reading of the data or the scoring changes.
        signature: The `dspy.Signature` to solve, or its short form such as `"question -> answer"`.
        load: Reads the examples; see `Loader`.
        quality: Scores an answer in [0, 1]; see `Quality`.
        answer_key: Makes the answers of several samples comparable; see `AnswerKey`.
        generator: Makes new examples, for a task whose instances can be made: called with `n`, `seed` and options of
            its own, it returns `n` examples, the same ones for the same arguments.
        budgets: The reasoning tokens at which the task is measured unless others are named.
        answer_tokens: Tokens that an answer may take, the field headers of the prompt format included.
        needs_labels: Whether `quality` looks at more than an example's inputs; where it does not, a program may be
            compiled with it.
        private: Whether the data must not be copied: what is written of a run then holds ids, scores, token counts and
            `answer_key`s, and no texts. `dataclasses.replace(task, private=False)` is the user's consent.

    Example:
        >>> def exact(example, prediction):
        ...     return float(field_text(prediction, "answer") == example.answer)
        >>> def no_data(path=None, split="test"):
        ...     return []
        >>> def key(prediction):
        ...     return field_text(prediction, "answer") or None
        >>> task = Task("echo", "1", "question -> answer", load=no_data, quality=exact, answer_key=key)
        >>> task.quality(dspy.Example(answer="yes"), dspy.Prediction(answer=" yes "))
        1.0
    """

    name: str
    version: str
    signature: Any
    load: Loader
    quality: Quality
    answer_key: AnswerKey
    generator: Callable[..., list[dspy.Example]] | None = None
    budgets: tuple[int, ...] = (64, 128, 256, 512)
    answer_tokens: int = 64
    needs_labels: bool = True
    private: bool = False

    def program(self) -> dspy.Module:
        """Returns a fresh, uncompiled `dspy.ChainOfThought` over the task's signature."""
        return dspy.ChainOfThought(self.signature)

    def generate(self, n: int, seed: int, **options: Any) -> list[dspy.Example]:
        """Makes new examples.

        Args:
            n: How many.
            seed: The same seed and options make the same examples.
            **options: What the task's own generator takes, such as `cities=(3, 10)` for Trip.

        Returns:
            `n` examples with inputs, labels and an `id`.

        Raises:
            DataError: The task has no generator, or an option does not fit it.
        """
        if self.generator is None:
            raise DataError(f"task {self.name!r} cannot generate examples: load them from a file with --data PATH")
        if n < 0:
            raise DataError(f"cannot generate {n} examples: ask for 0 or more")
        try:
            call = inspect.signature(self.generator).bind(n, seed, **options)
        except TypeError as error:
            raise DataError(f"task {self.name!r} cannot generate with {sorted(options)}: {error}") from error
        return self.generator(*call.args, **call.kwargs)


def field_text(prediction: dspy.Prediction | None, field: str) -> str:
    """Returns a prediction's field as stripped text, empty where the field is missing or holds no text or number.

    Example:
        >>> field_text(dspy.Prediction(answer=12), "answer"), field_text(None, "answer")
        ('12', '')
    """
    value = getattr(prediction, field, None)
    return str(value).strip() if isinstance(value, str | int | float) else ""
