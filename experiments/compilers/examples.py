"""The examples of one seed: what a compiler learns from, what it chooses by, and what its program is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import dspy

from anytime_dspy.errors import DataError
from anytime_dspy.programs.examples import TEST_SEED_OFFSET, question_hash
from anytime_dspy.programs.registry import chosen_task
from anytime_dspy.programs.task import Task
from experiments.compilers.plan import Bench

__all__ = ["Examples", "examples_of"]


@dataclass(frozen=True)
class Examples:
    """A task's examples; no two of the three sets share one.

    Attributes:
        task: The task.
        train: What is learned from.
        validation: What is chosen by.
        test: What is measured on.
    """

    task: Task
    train: Sequence[dspy.Example]
    validation: Sequence[dspy.Example]
    test: Sequence[dspy.Example]


def examples_of(bench: Bench, seed: int) -> Examples:
    """Draws a seed's examples.

    Raises:
        DataError: The data cannot be read, are private, or are too few.
    """
    task = chosen_task(bench.task, show_texts=False, copies_texts=True)
    wanted = bench.train + bench.validation
    if bench.generated:
        test = task.generate(bench.test, seed + TEST_SEED_OFFSET)
        pool = task.generate(wanted + bench.test, seed)  # as many more as may be test examples
    else:
        test = _shuffled(task.load(bench.data, bench.split), f"test-{seed}")[: bench.test]
        pool = _shuffled(task.load(bench.data, bench.train_split), f"train-{seed}")
    held_out = {question_hash(example) for example in test}
    fresh = [example for example in pool if question_hash(example) not in held_out][:wanted]
    if len(test) < bench.test or len(fresh) < wanted:
        raise DataError(f"{bench.name}: there are only {len(test)} test and {len(fresh)} other examples: ask for fewer")
    return Examples(task, fresh[: bench.train], fresh[bench.train :], test)


def _shuffled(examples: Sequence[dspy.Example], seed: str) -> list[dspy.Example]:
    return Random(seed).sample(list(examples), len(examples))
