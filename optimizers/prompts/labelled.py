"""Labelled training examples as demonstrations, as DSPy's LabeledFewShot shows them: no LM call makes them.

They hold no reasoning, so they teach a model to answer at once. That helps where its own reasoning is of no use, and
where there is too little of it to squeeze.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dspy

from anytime_dspy.anytime import Anytime

__all__ = ["can_be_shown", "with_labelled"]


def can_be_shown(example: dspy.Example, program: Anytime) -> bool:
    """Returns whether a predictor of the program takes the example's inputs and gives one of its labels.

    Example:
        >>> program = Anytime(dspy.ChainOfThought("question -> answer"), (16, 32))
        >>> example = dspy.Example(question="2 + 2?", answer="4").with_inputs("question")
        >>> can_be_shown(example, program), can_be_shown(example.without("answer"), program)
        (True, False)
    """
    return any(_demonstrations([example], predictor) for _, predictor in program.named_predictors())


def with_labelled(student: Anytime, examples: Sequence[dspy.Example]) -> Anytime:
    """Returns a copy of the student that shows labelled examples instead of its demonstrations.

    A predictor that no example fits, such as one in the middle of a pipeline, keeps its own.

    Args:
        student: The program; it is not changed.
        examples: The examples, in the order in which they are shown.
    """
    program: Anytime = student.deepcopy()
    for _, predictor in program.named_predictors():
        predictor.demos = _demonstrations(examples, predictor) or predictor.demos
    return program


def _demonstrations(examples: Sequence[dspy.Example], predictor: dspy.Predict) -> list[dict[str, Any]]:
    """The examples that fit a predictor, with its fields alone."""
    signature, found = predictor.signature, []
    for example in examples:
        inputs, labels = example.inputs().toDict(), example.labels().toDict()
        known = {name: labels[name] for name in signature.output_fields if labels.get(name) is not None}
        if known and all(name in inputs for name in signature.input_fields):
            found.append({**{name: inputs[name] for name in signature.input_fields}, **known})
    return found
