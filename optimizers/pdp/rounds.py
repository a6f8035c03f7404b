"""One round of a compile: what came of it, and what its race chooses from."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from anytime_dspy.anytime import Anytime
from anytime_dspy.checkpoint import Usage
from anytime_dspy.optimizers.judges.report import JudgeReport
from anytime_dspy.optimizers.pairs.pair import PreferencePair, select_pairs
from anytime_dspy.optimizers.pairs.pair_sets import candidate_sets
from anytime_dspy.optimizers.pdp.gathering import Gathered, one_an_example
from anytime_dspy.optimizers.prompts.instructions import candidate_instructions, in_style
from anytime_dspy.optimizers.prompts.render import Instructions
from anytime_dspy.optimizers.search.pool import LEAST, Pool
from anytime_dspy.optimizers.search.standing import RaceReport
from anytime_dspy.optimizers.traces.sampling import Sampling

__all__ = ["Round", "pool_of"]

logger = logging.getLogger(__name__)

SETS = 4
"""Sets of whole traces to choose from, the fixed recipe's among them."""

DEMONSTRATIONS = 20
"""Squeezed traces that sets are made of, at most."""


@dataclass(frozen=True)
class Round:
    """What one round was.

    Attributes:
        traces: Traces that were sampled.
        failed: Runs that gave none.
        judge: Who judged them, and how it fared.
        styles: What the judge gave each style's traces, by the style's name: the mean area under their curves, in
            [0, 1], over the examples that it could decide.
        pairs: Pairs of all examples and budgets.
        squeezed: Traces that were squeezed.
        tokens: Their reasoning in the mean, before and after; None where there were none.
        race: What came of the candidates, None without a race.
        synthesis: What sampling the traces cost.
        squeezing: What squeezing them cost.
        writing: What writing instructions cost.
        search: What the race cost.
    """

    traces: int
    failed: int
    judge: JudgeReport
    styles: Mapping[str, float]
    pairs: int
    squeezed: int
    tokens: tuple[float, float] | None
    race: RaceReport | None
    synthesis: Usage
    squeezing: Usage
    writing: Usage = field(default_factory=Usage)
    search: Usage = field(default_factory=Usage)

    @property
    def usage(self) -> Usage:
        """What the whole round cost."""
        return self.synthesis + self.judge.usage + self.squeezing + self.writing + self.search


def pool_of(
    student: Anytime,
    gathered: Gathered,
    squeezed: Sequence[PreferencePair],
    *,
    contrastive: bool,
    sampling: Sampling,
    write: bool,
) -> tuple[Pool, Usage]:
    """Returns what a race's candidates are made of, and what writing instructions for it cost.

    Args:
        student: What the candidates are made from.
        gathered: Of this round.
        squeezed: Of all rounds.
        contrastive: Whether contrast may be shown.
        sampling: How the traces were sampled: its seed draws sets, its styles are candidates too.
        write: Whether the LM is asked for instructions, in a race that has room for them.
    """
    pairs, size = gathered.pairs, len(student.budgets)
    ranked = one_an_example(squeezed)[:DEMONSTRATIONS]
    if len(ranked) < LEAST:
        logger.warning(
            "Only %d squeezed traces state their answer and use their input: whole traces and instructions race too",
            len(ranked),
        )
    recipe = tuple(select_pairs(pairs)) if pairs else ()
    whole = candidate_sets(pairs, SETS, size, sampling.seed) if pairs else []
    sets = [tuple(ranked[:size])] if ranked else whole[:1]
    order = sorted(sampling.styles, key=lambda style: -gathered.styles.get(style.name, 0.0))
    styled: list[Instructions] = [in_style(student, style) for style in order if style.name != "plain"]
    if not write:
        return Pool(ranked, recipe, whole, styled, (), contrastive), Usage()
    made = candidate_instructions(student, [one for one in sets if one])
    return Pool(ranked, recipe, whole, styled, made.texts[1:], contrastive), made.usage
