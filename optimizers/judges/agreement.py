"""The judge that asks nobody: a trace is as good as its answer is common among the program's own samples.

A model that cannot tell a right answer from a wrong one when asked may still arrive at the right one more often than
at any one of the wrong ones (self-consistency, Wang et al. 2022, arXiv 2203.11171).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from anytime_dspy.answers import AnswerKey, answer_text, key_at
from anytime_dspy.optimizers.judges.base import GroupScores, Judgement, Reliability
from anytime_dspy.optimizers.judges.distinct_answers import contenders, scores_by_answer
from anytime_dspy.optimizers.traces.trace import TraceGroup

__all__ = ["Agreement", "final_votes"]


@dataclass(frozen=True)
class Agreement:
    """Scores a trace at a checkpoint by the share of votes that its answer there got at the largest budget.

    A score is graded, so a gap between two also says how sure the vote is; an unanswered checkpoint scores 0. Where no
    answer got two votes, the example is undecided.

    Attributes:
        answer_key: Makes answers comparable; by default their text without regard to case and white space.
        earlier: Traces of earlier rounds, which vote on the same examples: they were sampled from another prompt, so
            a mistake that a prompt makes again and again has other voters against it (GLaPE, arXiv 2402.02408).
    """

    answer_key: AnswerKey = answer_text
    earlier: tuple[TraceGroup, ...] = ()

    @property
    def name(self) -> str:
        """What reports call it."""
        return "agreement"

    def reliability(self, groups: Sequence[TraceGroup]) -> Reliability:
        """Measures how much more often two samples of one example agree than samples of different examples do.

        That difference over its largest value is a kappa, chance-corrected agreement of two voters (Fleiss 1971); the
        reliability of the vote of all n samples follows by the Spearman-Brown formula, n k / (1 + (n - 1) k). A program
        that answers everything alike has none.
        """
        ballots = [_ballot(group, self.answer_key) for group in groups]
        kappa = _kappa(ballots)
        voters = sum(map(len, ballots)) / len(ballots)
        value = voters * kappa / (1 + (voters - 1) * kappa)
        decided = sum(max(final_votes(group, self.answer_key).values(), default=0) > 1 for group in groups)
        return Reliability(
            self.name,
            value,
            f"two samples of an example agree with kappa {kappa:.2f}, stepped up to a vote of {voters:.3g}, "
            f"and decides {decided} of {len(ballots)} examples",
        )

    def scores(self, groups: Sequence[TraceGroup]) -> Judgement:
        """Scores every trace at every checkpoint; it costs no call."""
        return Judgement(self.name, tuple(self._scored(group) for group in groups), by_votes=True)

    def _scored(self, group: TraceGroup) -> GroupScores:
        before = [one for one in self.earlier if one.example_index == group.example_index]
        votes = sum((final_votes(one, self.answer_key) for one in before), final_votes(group, self.answer_key))
        voters = len(group.traces) + sum(len(one.traces) for one in before)
        table: dict[str, float | None] = {
            one.key: votes[one.key] / voters for one in contenders(group, self.answer_key)
        }
        decided = max(votes.values(), default=0) > 1
        return scores_by_answer(group, table if decided else {}, self.answer_key)


def final_votes(group: TraceGroup, answer_key: AnswerKey) -> Counter[str]:
    """Returns how many traces of a group ended in each answer, at the largest budget."""
    return Counter(key for key in _ballot(group, answer_key) if key is not None)


Ballot = Sequence["str | None"]


def _ballot(group: TraceGroup, answer_key: AnswerKey) -> Ballot:
    return [key_at(trace.checkpoints[-1], answer_key) for trace in group.traces]


def _kappa(ballots: Sequence[Ballot]) -> float:
    """Agreement within ballots beyond that between them, at least 0; a missing answer agrees with nothing."""
    counts = [Counter(key for key in ballot if key is not None) for ballot in ballots]
    pooled = sum(counts, Counter())
    sizes = [len(ballot) for ballot in ballots]
    pairs_within = sum(size * (size - 1) for size in sizes)
    pairs_between = sum(sizes) ** 2 - sum(size**2 for size in sizes)
    same_within = sum(votes * (votes - 1) for count in counts for votes in count.values())
    same_between = sum(votes**2 for votes in pooled.values()) - sum(v**2 for count in counts for v in count.values())
    observed = same_within / pairs_within if pairs_within else 0.0
    chance = same_between / pairs_between if pairs_between else 0.0
    return max(0.0, (observed - chance) / (1 - chance)) if chance < 1 else 0.0
