"""The judge that listens: how much likelier "Yes" is than "No" when the LM is asked whether an answer is correct.

A word that a model would not say can still be likely in it (Kadavath et al. 2022, arXiv 2207.05221, ask so whether a
sampled answer is true).
"""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import dspy

from anytime_dspy.answers import AnswerKey, answer_text
from anytime_dspy.checkpoint import Usage
from anytime_dspy.errors import AnytimeError, ModelError
from anytime_dspy.optimizers.failures import Failures, failures_of, reason_of
from anytime_dspy.optimizers.judges.agreement import final_votes
from anytime_dspy.optimizers.judges.answer_cache import AnswerCache
from anytime_dspy.optimizers.judges.base import Judgement, Reliability
from anytime_dspy.optimizers.judges.distinct_answers import contenders, scores_by_answer, task_text
from anytime_dspy.optimizers.judges.probabilities import Asked, Said, ask
from anytime_dspy.optimizers.traces.trace import TraceGroup
from anytime_dspy.parallel import finished

__all__ = ["Confidence"]

logger = logging.getLogger(__name__)

RELIABILITY_PAIRS = 16
"""Pairs of answers that reliability is measured on: at most two calls each."""

FIRST_PAIRS = 8
"""Those that are asked about first: an LM that finds the common answers no likelier is asked no more."""


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """Scores a trace at a checkpoint by the probability that its answer there is correct, as the LM has it.

    That is p(Yes) / (p(Yes) + p(No)) for the first token of its reply: one short call for each different answer. An
    answer for which neither word was likely is undecided; an unanswered checkpoint scores 0.

    Attributes:
        lm: Whom to ask; by default the LM of the surrounding `dspy.context`. It must give log-probabilities.
        answer_key: Says which answers are the same.
        threads: Questions asked at the same time.
        seed: Picks the pairs that reliability is measured on.
        memo: Probabilities that were given before; none of them is asked for again.
    """

    lm: Any = field(default=None, kw_only=False)
    answer_key: AnswerKey = answer_text
    threads: int = 1
    seed: int = 0
    memo: AnswerCache = field(default_factory=AnswerCache, repr=False, compare=False)

    @property
    def name(self) -> str:
        """What reports call it."""
        return "confidence"

    def reliability(self, groups: Sequence[TraceGroup]) -> Reliability:
        """Measures, on a few pairs, how often it prefers the answer that more of the program's own samples ended in.

        Votes and probabilities fail in different ways, so where they agree both are likely to be right. The value is
        Goodman and Kruskal's gamma: pairs that agree minus pairs that do not, over all. An LM that gives no
        log-probabilities has none.
        """
        pairs = [pair for group in groups for pair in self._voted_pairs(group)]
        if not pairs:
            return Reliability(self.name, 0.0, "no two answers to an example differ in their votes")
        drawn = random.Random(self.seed).sample(pairs, min(RELIABILITY_PAIRS, len(pairs)))
        probed = drawn[:FIRST_PAIRS]
        said = self._said(itertools.chain.from_iterable(probed))
        refusal = _refusal(said)
        if refusal:
            return Reliability(self.name, 0.0, refusal, _cost(said))
        if sum(_sign(pair, said) for pair in probed) > 0:
            said |= self._said(one for pair in drawn[FIRST_PAIRS:] for one in pair if one not in said)
            probed = drawn
        failures = _failures(said)
        if failures.all_of_them:
            measured = f"all {failures.asked} questions failed, the first with: {failures.errors[0]}"
            return Reliability(self.name, 0.0, measured, _cost(said))
        signs = [_sign(pair, said) for pair in probed]
        agree, disagree = signs.count(1), signs.count(-1)
        return Reliability(
            self.name,
            max(0.0, (agree - disagree) / len(probed)),
            f"the answer with more votes is the likelier one in {agree} of {len(probed)} pairs, "
            f"the less likely one in {disagree}",
            _cost(said),
        )

    def scores(self, groups: Sequence[TraceGroup]) -> Judgement:
        """Asks about every different answer to each example and scores every trace at every checkpoint.

        Raises:
            ModelError: The LM gives no log-probabilities.
        """
        asked = [self._questions(group) for group in groups]
        said = self._said(itertools.chain.from_iterable(questions.values() for questions in asked))
        refusal = _refusal(said)
        if refusal:
            raise ModelError(f"{refusal}: use the judge 'agreement' or 'pairwise'")
        scores = [
            scores_by_answer(
                group, {key: said[question].probability for key, question in questions.items()}, self.answer_key
            )
            for group, questions in zip(groups, asked, strict=True)
        ]
        return Judgement(self.name, tuple(scores), _cost(said), failures=_failures(said))

    def _questions(self, group: TraceGroup) -> dict[str, Asked]:
        task = task_text(group)
        return {found.key: Asked(task, found.text) for found in contenders(group, self.answer_key)}

    def _voted_pairs(self, group: TraceGroup) -> list[_VotedPair]:
        votes, questions = final_votes(group, self.answer_key), self._questions(group)
        ranked = sorted(questions, key=lambda key: -votes[key])
        return [
            _VotedPair(questions[more], questions[less])
            for more, less in itertools.combinations(ranked, 2)
            if votes[more] > votes[less]
        ]

    def _said(self, questions: Iterable[Asked]) -> dict[Asked, Said]:
        """Asks each question once; the first one alone, since it tells whether the LM gives log-probabilities."""
        different = list(dict.fromkeys(questions))
        with nullcontext() if self.lm is None else dspy.context(lm=self.lm):
            said = {question: self._ask(question) for question in different[:1]}
            if not _refusal(said):
                said |= {different[place + 1]: one for place, one in finished(self._ask, different[1:], self.threads)}
        return {question: said[question] for question in different if question in said}

    def _ask(self, question: Asked) -> Said:
        lm = dspy.settings.lm
        try:
            return self.memo.recall({"prompt": question.prompt, "lm": lm.model}, Said, lambda: ask(lm, question))
        except AnytimeError:
            raise
        except Exception as error:  # one failed question must not lose the traces that are paid for
            logger.warning("A probability could not be had: %s", error)
            return Said(None, error=reason_of(error))


class _VotedPair(NamedTuple):
    """Two answers to one example, of which one got more votes."""

    more: Asked
    less: Asked


def _sign(pair: _VotedPair, said: Mapping[Asked, Said]) -> int:
    """1 where the answer with more votes is the likelier one, -1 where it is the less likely one."""
    more, less = said[pair.more].probability, said[pair.less].probability
    return 0 if more is None or less is None else (more > less) - (more < less)


def _refusal(said: Mapping[Asked, Said]) -> str | None:
    return next((one.refusal for one in said.values() if one.refusal), None)


def _failures(said: Mapping[Asked, Said]) -> Failures:
    return failures_of(one.error for one in said.values())


def _cost(said: Mapping[Asked, Said]) -> Usage:
    return sum((one.usage for one in said.values()), Usage())
