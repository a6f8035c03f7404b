"""The search space of a race: ways to prompt the student, and the effects they have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.optimizers.pairs.pair import PreferencePair
from anytime_dspy.optimizers.pairs.pair_sets import PairSet
from anytime_dspy.optimizers.prompts.labelled import with_labelled
from anytime_dspy.optimizers.prompts.render import Instructions, prompted
from anytime_dspy.state import program_hash
from anytime_dspy.storage.jsonl import content_hash

__all__ = ["Candidate", "demonstration_effect", "shown_inputs"]

SHOWING, DEMONSTRATION, CONTRAST, INSTRUCTIONS, PROGRAM = 0.1, 0.06, 0.05, 0.05, 0.1
"""Prior standard deviations of the effects of a candidate's parts on the Anytime Index. In our experiments sets of four
to six squeezed demonstrations scored 0.1 above the student on average, with a standard deviation of 0.06 (tasks of one
step) to 0.13."""


@dataclass(frozen=True)
class Candidate:
    """One way to prompt the student; the default is the student itself.

    Attributes:
        kind: A name for reports: "student", "recipe", "squeezed", "composed", "whole traces", "labelled",
            "instructions", or the name of the program.
        instructions: The instructions by predictor; None keeps the student's.
        pairs: The pairs whose chosen traces are the demonstrations.
        contrast: Whether the rejected traces are shown too.
        labelled: Training examples with their labels, shown instead of pairs, without reasoning.
        program: A complete program, for example from another optimiser; it replaces all of the above.
    """

    kind: str = "student"
    instructions: Instructions | None = None
    pairs: PairSet = ()
    contrast: bool = False
    labelled: tuple[dspy.Example, ...] = ()
    program: Anytime | None = None

    def applied(self, student: Anytime) -> Anytime:
        """Returns a copy of the student with this prompt."""
        if self.program is not None:
            copy: Anytime = self.program.deepcopy()
            return copy
        if self.labelled:
            return with_labelled(student, self.labelled)
        return prompted(student, self.pairs, contrastive=self.contrast, instructions=self.instructions)

    @cached_property
    def key(self) -> str:
        """A hash of the prompt, the same in every process."""
        if self.program is not None:
            return content_hash(program_hash(self.program))[:16]
        shown = [demonstration_effect(one) for one in (*self.pairs, *self.labelled)]
        return content_hash([dict(self.instructions or {}), shown, self.contrast])[:16]

    @property
    def shown(self) -> list[Mapping[str, Any]]:
        """The inputs of the examples that the demonstrations were made of."""
        return [*(pair.inputs for pair in self.pairs), *(one.inputs().toDict() for one in self.labelled)]

    @property
    def features(self) -> dict[str, float]:
        """The prior standard deviation of each effect in its gain, by name; the student has none."""
        if self.program is not None:
            return {f"program {self.key}": PROGRAM}
        effects = {demonstration_effect(one): DEMONSTRATION for one in (*self.pairs, *self.labelled)}
        if self.labelled:
            effects["labelled"] = SHOWING
        if self.pairs:
            effects["squeezed" if all(pair.squeezed for pair in self.pairs) else "whole"] = SHOWING
        if self.contrast:
            effects["contrast"] = CONTRAST
        if self.instructions is not None:
            effects[f"instructions {content_hash(dict(self.instructions))[:16]}"] = INSTRUCTIONS
        return effects

    def __str__(self) -> str:
        """Returns a short description for reports."""
        count = len(self.pairs) + len(self.labelled)
        shown = f" {count}" if count else ""
        return f"{self.kind}{shown}{', contrast' if self.contrast else ''}"


def demonstration_effect(shown: PreferencePair | dspy.Example) -> str:
    """Returns the name of the effect of showing a pair's chosen trace, or a labelled example."""
    if isinstance(shown, PreferencePair):
        return f"demonstration {content_hash([shown.inputs, shown.chosen.reasoning])[:16]}"
    return f"demonstration {content_hash(shown.toDict())[:16]}"


def shown_inputs(program: Anytime, inputs: Sequence[Mapping[str, Any]] = ()) -> frozenset[str]:
    """Returns hashes of the inputs of the examples that a program shows: it must not be evaluated on these.

    Args:
        program: The program; all its predictors' demonstrations count.
        inputs: The inputs of the examples that it was made from, since an inner predictor's are not the example's.
    """
    shown = {content_hash(one) for one in inputs}
    for predictor in program.predictors():
        names = list(predictor.signature.input_fields)
        for demo in predictor.demos:
            known = demo.toDict() if isinstance(demo, dspy.Example) else dict(demo)
            shown.add(content_hash({name: known[name] for name in names if name in known}))
    return frozenset(shown)
