"""The judge "confidence": the probability of "Yes" against "No" when the LM is asked whether an answer is correct.

Probabilities hold more information than the word that is sampled (P(True) of Kadavath et al. 2022, arXiv 2207.05221).
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
from anytime_dspy.optimizers.failures import Failures, failures_of, one_line
from anytime_dspy.optimizers.judges.agreement import final_votes
from anytime_dspy.optimizers.judges.answer_cache import AnswerCache
from anytime_dspy.optimizers.judges.base import Judgement, Reliability
from anytime_dspy.optimizers.judges.distinct_answers import contenders, scores_by_answer, task_text
from anytime_dspy.optimizers.judges.probabilities import Asked, Said, ask
from anytime_dspy.optimizers.traces.trace import TraceGroup
from anytime_dspy.parallel import map_unordered

__all__ = ["Confidence"]

logger = logging.getLogger(__name__)

RELIABILITY_PAIRS = 16
"""The number of answer pairs that reliability is measured on, at most two calls each."""

FIRST_PAIRS = 8
"""The number of pairs that are tried first; an LM that does not prefer the common answers is not asked about more."""


@dataclass(frozen=True, kw_only=True)
class Confidence:
    """Scores a checkpoint by the LM's probability that its answer is correct.

    The probability is p(Yes) / (p(Yes) + p(No)) at the first token of the reply, with one short call for each different
    answer. An answer is undecided if neither word is among the likely tokens. An unanswered checkpoint scores 0.

    Attributes:
        lm: The LM to ask; by default that of the surrounding `dspy.context`. It must return log-probabilities.
        answer_key: Decides which answers are the same.
        threads: The number of concurrent requests.
        seed: The seed that picks the pairs that reliability is measured on.
        memo: The cache of earlier answers.
    """

    lm: Any = field(default=None, kw_only=False)
    answer_key: AnswerKey = answer_text
    threads: int = 1
    seed: int = 0
    memo: AnswerCache = field(default_factory=AnswerCache, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Its name in reports."""
        return "confidence"

    def reliability(self, groups: Sequence[TraceGroup]) -> Reliability:
        """Measures, on a few pairs, how often the judge prefers the answer that more samples ended in.

        Votes and probabilities fail in different ways, so where they agree both are probably right. The value is
        Goodman and Kruskal's gamma: agreeing minus disagreeing pairs, over all pairs. It is 0 for an LM without
        log-probabilities.
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
            return Reliability(self.name, 0.0, failures.summary("questions"), _cost(said))
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
        """Asks about each different answer to each example, and scores every trace at every checkpoint.

        Raises:
            ModelError: The LM returns no log-probabilities.
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
        """Asks each question once; the first one alone, to see whether the LM returns log-probabilities."""
        different = list(dict.fromkeys(questions))
        with nullcontext() if self.lm is None else dspy.context(lm=self.lm):
            said = {question: self._ask(question) for question in different[:1]}
            if not _refusal(said):
                said |= {
                    different[place + 1]: one for place, one in map_unordered(self._ask, different[1:], self.threads)
                }
        return {question: said[question] for question in different if question in said}

    def _ask(self, question: Asked) -> Said:
        lm = dspy.settings.lm
        try:
            return self.memo.recall({"prompt": question.prompt, "lm": lm.model}, Said, lambda: ask(lm, question))
        except AnytimeError:
            raise
        except Exception as error:  # one failed request must not lose the traces that are already paid for
            logger.warning("No probability, the request failed: %s", error)
            return Said(None, error=one_line(error))


class _VotedPair(NamedTuple):
    """Two answers to one example, one of which has more votes."""

    more: Asked
    less: Asked


def _sign(pair: _VotedPair, said: Mapping[Asked, Said]) -> int:
    """1 if the answer with more votes is more likely, -1 if it is less likely, else 0."""
    more, less = said[pair.more].probability, said[pair.less].probability
    return 0 if more is None or less is None else (more > less) - (more < less)


def _refusal(said: Mapping[Asked, Said]) -> str | None:
    return next((one.refusal for one in said.values() if one.refusal), None)


def _failures(said: Mapping[Asked, Said]) -> Failures:
    return failures_of(one.error for one in said.values())


def _cost(said: Mapping[Asked, Said]) -> Usage:
    return sum((one.usage for one in said.values()), Usage())
