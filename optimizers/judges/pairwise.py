"""The judge "pairwise": an LM compares two answers, in both orders."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import dspy

from anytime_dspy.answers import AnswerKey, answer_text
from anytime_dspy.checkpoint import Usage
from anytime_dspy.errors import ModelError
from anytime_dspy.optimizers.failures import Failures, failures_of
from anytime_dspy.optimizers.judges.answer_cache import AnswerCache
from anytime_dspy.optimizers.judges.base import GroupScores, Judgement, Orders, Reliability
from anytime_dspy.optimizers.judges.distinct_answers import contenders, scores_by_answer, task_text
from anytime_dspy.optimizers.judges.tournament import first_pairs, strengths
from anytime_dspy.optimizers.judges.verdicts import Duel, Outcome, check_module, decide
from anytime_dspy.optimizers.traces.trace import TraceGroup
from anytime_dspy.parallel import map_unordered

__all__ = ["Pairwise", "Teacher"]

RELIABILITY_PAIRS = 16
"""The number of pairs that reliability is measured on, two calls each."""

FIRST_PAIRS = 8
"""The number of pairs that are tried first; if all are ties, no more are tried. A judge that names the same answer in
both orders half of the time, as at random, has eight ties one time in 256."""


@dataclass(frozen=True, kw_only=True)
class Pairwise:
    """Scores a checkpoint by how often its answer wins against the other answers to the example.

    Only answers are compared, not their reasoning. So each pair of different answers is compared at most once, in both
    orders, at whatever budgets they occur. A win counts 1, a tie 1/2; an unanswered checkpoint scores 0. More than six
    answers play a tournament (see `tournament`).

    Attributes:
        lm: The LM to ask; by default that of the surrounding `dspy.context`, so that the program judges itself.
        module: A module that takes task, candidate_a and candidate_b and returns `better`, "A" or "B". By default a
            `dspy.Predict` that asks for the letter only.
        name: Its name in reports.
        answer_key: Decides which answers are the same.
        threads: The number of concurrent requests.
        seed: The seed that picks the pairs that reliability is measured on.
        memo: The cache of earlier verdicts.

    Raises:
        ProgramError: The module has another signature.
    """

    lm: Any = field(default=None, kw_only=False)
    module: dspy.Module | None = None
    name: str = "pairwise"
    answer_key: AnswerKey = answer_text
    threads: int = 1
    seed: int = 0
    memo: AnswerCache = field(default_factory=AnswerCache, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.module is not None:
            check_module(self.module)

    def reliability(self, groups: Sequence[TraceGroup]) -> Reliability:
        """Measures, on a few pairs, how often the same answer wins in both orders, beyond chance.

        A judge that says A with probability p regardless of the answers names the same answer 2 p (1 - p) of the time.
        The rest, divided by its maximum, is Cohen's kappa. A judge that always says the same letter has 0.
        """
        duels = list(itertools.chain.from_iterable(map(self._sure_duels, groups)))
        if not duels:
            return Reliability(self.name, 0.0, "no two samples of an example differ in their answer")
        asked = random.Random(self.seed).sample(duels, min(RELIABILITY_PAIRS, len(duels)))
        with self._asking():
            outcomes = [outcome for _, outcome in map_unordered(self._decide, asked[:FIRST_PAIRS], self.threads)]
            if any(outcome.decided for outcome in outcomes):
                outcomes += [outcome for _, outcome in map_unordered(self._decide, asked[FIRST_PAIRS:], self.threads)]
        orders, failures = _orders(outcomes), _failures(outcomes)
        if failures.all_of_them:
            return Reliability(self.name, 0.0, failures.summary("questions"), _cost(outcomes))
        first = 1.0 if orders.position_bias is None else orders.position_bias
        chance = 2 * first * (1 - first)
        return Reliability(
            self.name,
            max(0.0, (orders.same / orders.pairs - chance) / (1 - chance)),
            f"the same answer wins in both orders for {orders.same} of {orders.pairs} pairs, "
            f"{first:.0%} of the verdicts are for the first",
            _cost(outcomes),
        )

    def scores(self, groups: Sequence[TraceGroup]) -> Judgement:
        """Compares the different answers to each example, and scores every trace at every checkpoint."""
        with self._asking():
            judged = dict(map_unordered(self._judged, groups, self.threads))
        outcomes = [outcome for place in range(len(groups)) for outcome in judged[place].outcomes]
        return Judgement(
            self.name,
            tuple(judged[place].scores for place in range(len(groups))),
            _cost(outcomes),
            _orders(outcomes),
            failures=_failures(outcomes),
        )

    def _judged(self, group: TraceGroup) -> _Judged:
        found = contenders(group, self.answer_key)
        if len(found) < 2:
            return _Judged(scores_by_answer(group, {}, self.answer_key), ())
        outcomes: list[Outcome] = []

        def compare(first: int, second: int) -> float:
            outcomes.append(self._decide(Duel(task_text(group), (found[first].text, found[second].text))))
            return outcomes[-1].points

        won = strengths(len(found), compare)
        table = {contender.key: share for contender, share in zip(found, won, strict=True)}
        return _Judged(scores_by_answer(group, table, self.answer_key), tuple(outcomes))

    def _sure_duels(self, group: TraceGroup) -> list[Duel]:
        """Pairs that `scores` compares too, so that measuring reliability costs nothing extra."""
        found = contenders(group, self.answer_key)
        return [Duel(task_text(group), (found[one].text, found[other].text)) for one, other in first_pairs(len(found))]

    def _decide(self, duel: Duel) -> Outcome:
        return decide(duel, self.module, self.memo)

    def _asking(self) -> Any:
        return nullcontext() if self.lm is None else dspy.context(lm=self.lm)


@dataclass(frozen=True, kw_only=True)
class Teacher(Pairwise):
    """Another LM that compares the answers, as `Pairwise` does.

    Raises:
        ModelError: No LM is given.

    Example:
        >>> Teacher(dspy.LM("openai/gpt-4.1")).name
        'teacher'
    """

    name: str = "teacher"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lm is None:
            raise ModelError("Teacher(lm) needs an LM to ask: with none the program would judge itself, as Pairwise()")


@dataclass(frozen=True)
class _Judged:
    """A group's scores, and the verdicts behind them."""

    scores: GroupScores
    outcomes: tuple[Outcome, ...]


def _orders(outcomes: Sequence[Outcome]) -> Orders:
    letters = [letter for outcome in outcomes for letter in outcome.letters if letter is not None]
    return Orders(
        pairs=len(outcomes),
        given=sum(None not in outcome.letters for outcome in outcomes),
        same=sum(outcome.decided for outcome in outcomes),
        verdicts=len(letters),
        first=letters.count("A"),
    )


def _failures(outcomes: Sequence[Outcome]) -> Failures:
    return failures_of(error for outcome in outcomes for error in outcome.errors)


def _cost(outcomes: Sequence[Outcome]) -> Usage:
    return sum((outcome.usage for outcome in outcomes), Usage())
