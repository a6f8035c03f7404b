"""What a race chooses from: ways to prompt the student, and what they have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import dspy

from anytime_dspy.anytime import Anytime
from anytime_dspy.measure import program_hash
from anytime_dspy.optimizers.pairs.pair import PreferencePair
from anytime_dspy.optimizers.pairs.pair_sets import PairSet
from anytime_dspy.optimizers.prompts.render import Instructions, prompted
from anytime_dspy.storage.jsonl import content_hash

__all__ = ["Candidate", "demonstration_effect", "shown_inputs"]

SHOWING, DEMONSTRATION, CONTRAST, INSTRUCTIONS, PROGRAM = 0.1, 0.06, 0.05, 0.05, 0.1
"""Prior standard deviations of the effects that a candidate's parts have on the index. Sets of four to six squeezed
demonstrations from one pool spread by some 0.06 (where all stand for one step) to 0.13 around a mean that lay 0.1 above
the student."""


@dataclass(frozen=True)
class Candidate:
    """One way to prompt the student; the default is the student itself.

    Attributes:
        kind: What it is, for reports: "student", "recipe", "squeezed", "composed", "whole traces", "instructions", or
            where the program was brought in from.
        instructions: Each predictor's in place of its own; None for its own.
        pairs: What is shown.
        contrast: Whether their rejected traces are shown too.
        program: A whole program in place of all this, such as another optimiser made it.
    """

    kind: str = "student"
    instructions: Instructions | None = None
    pairs: PairSet = ()
    contrast: bool = False
    program: Anytime | None = None

    def applied(self, student: Anytime) -> Anytime:
        """Returns a copy of the student that is prompted so."""
        if self.program is not None:
            copy: Anytime = self.program.deepcopy()
            return copy
        return prompted(student, self.pairs, contrastive=self.contrast, instructions=self.instructions)

    @cached_property
    def key(self) -> str:
        """What two candidates share that prompt alike, in another process too."""
        if self.program is not None:
            return content_hash(program_hash(self.program))[:16]
        shown = [demonstration_effect(pair) for pair in self.pairs]
        return content_hash([dict(self.instructions or {}), shown, self.contrast])[:16]

    @property
    def features(self) -> dict[str, float]:
        """The effects that its gain is made of, each with its prior standard deviation; the student has none."""
        if self.program is not None:
            return {f"program {self.key}": PROGRAM}
        effects = {demonstration_effect(pair): DEMONSTRATION for pair in self.pairs}
        if self.pairs:
            effects["squeezed" if all(pair.squeezed for pair in self.pairs) else "whole"] = SHOWING
        if self.contrast:
            effects["contrast"] = CONTRAST
        if self.instructions is not None:
            effects[f"instructions {content_hash(dict(self.instructions))[:16]}"] = INSTRUCTIONS
        return effects

    def __str__(self) -> str:
        """Returns what it is, in a few words."""
        shown = f" {len(self.pairs)}" if self.pairs else ""
        return f"{self.kind}{shown}{', contrast' if self.contrast else ''}"


def demonstration_effect(pair: PreferencePair) -> str:
    """Returns the name of the effect that showing a pair's chosen trace has."""
    return f"demonstration {content_hash([pair.inputs, pair.chosen.reasoning])[:16]}"


def shown_inputs(program: Anytime, pairs: Sequence[PreferencePair] = ()) -> frozenset[str]:
    """Returns what examples a program shows, by the content of their inputs: it is not to be measured on these.

    Args:
        program: Its demonstrations are looked at, of each predictor.
        pairs: Whose examples it was made from; an inner predictor's inputs do not tell.
    """
    shown = {content_hash(pair.inputs) for pair in pairs}
    for predictor in program.predictors():
        names = list(predictor.signature.input_fields)
        for demo in predictor.demos:
            known = demo.toDict() if isinstance(demo, dspy.Example) else dict(demo)
            shown.add(content_hash({name: known[name] for name in names if name in known}))
    return frozenset(shown)
