"""The judge "agreement" makes no LM calls: the more common an answer is among the samples, the higher its score.

A model that cannot recognise the right answer may still reach it more often than any single wrong answer
(self-consistency, Wang et al. 2022, arXiv 2203.11171).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from anytime_dspy.answers import AnswerKey, answer_text, key_at
from anytime_dspy.optimizers.judges.base import GroupScores, Judgement, Reliability
from anytime_dspy.optimizers.judges.distinct_answers import contenders, scores_by_answer
from anytime_dspy.optimizers.traces.input_use import uses_whole_input
from anytime_dspy.optimizers.traces.trace import SampledTrace, TraceGroup
from anytime_dspy.optimizers.traces.units import WordsOf

__all__ = ["Agreement", "final_votes"]

Ballot = Sequence["str | None"]
"""The final answers of an example's voters; None for a trace without an answer."""


@dataclass(frozen=True)
class Agreement:
    """Scores a checkpoint by the share of traces that end in its answer at the largest budget.

    If two traces of an example or more use its whole input, they alone vote: small models leave steps out more often
    than they make mistakes in them, and agree on the result of the first step. On 384 word problems, with six samples
    of each from a 0.5B model, 0.6 of all votes decided 19 problems of two steps, 8 of them rightly; under this rule 0.6
    of the votes decide 50, and 32 of them rightly.

    A gap between two scores shows how clear the vote is. An unanswered checkpoint scores 0. An example is undecided if
    no answer has two votes.

    Attributes:
        answer_key: Makes answers comparable; by default their text, ignoring case and white space.
        earlier: Traces of earlier rounds, which also vote. They were sampled from another prompt, so they outvote a
            mistake that one prompt repeats (GLaPE, arXiv 2402.02408).
    """

    answer_key: AnswerKey = answer_text
    earlier: tuple[TraceGroup, ...] = ()

    @property
    def name(self) -> str:
        """Its name in reports."""
        return "agreement"

    def reliability(self, groups: Sequence[TraceGroup]) -> Reliability:
        """Measures how much more often two samples of the same example agree than samples of different examples.

        This difference, divided by its maximum, is a kappa, the chance-corrected agreement of two voters (Fleiss 1971).
        The reliability of the vote of all n samples follows by the Spearman-Brown formula, n k / (1 + (n - 1) k). It is
        0 for a program that gives the same answer to every example.
        """
        ballots = self._ballots(groups)
        kappa = _kappa(ballots)
        voters = sum(map(len, ballots)) / len(ballots)
        value = voters * kappa / (1 + (voters - 1) * kappa)
        decided = sum(max(_counted(ballot).values(), default=0) > 1 for ballot in ballots)
        return Reliability(
            self.name,
            value,
            f"two samples of an example agree with kappa {kappa:.2f}, stepped up to a vote of {voters:.3g}, "
            f"and decides {decided} of {len(ballots)} examples",
        )

    def scores(self, groups: Sequence[TraceGroup]) -> Judgement:
        """Scores every trace at every checkpoint, without LM calls."""
        scores = map(self._scored, groups, self._ballots(groups))
        return Judgement(self.name, tuple(scores), by_votes=True)

    def _scored(self, group: TraceGroup, ballot: Ballot) -> GroupScores:
        votes = _counted(ballot)
        table: dict[str, float | None] = {
            one.key: votes[one.key] / len(ballot) for one in contenders(group, self.answer_key)
        }
        decided = max(votes.values(), default=0) > 1
        return scores_by_answer(group, table if decided else {}, self.answer_key)

    def _ballots(self, groups: Sequence[TraceGroup]) -> list[Ballot]:
        """The final answers of each group's voters."""
        words = WordsOf(group.inputs for group in groups)
        before: dict[int, list[SampledTrace]] = {}
        for one in self.earlier:
            before.setdefault(one.example_index, []).extend(one.traces)
        ballots = []
        for group in groups:
            traces = [*group.traces, *before.get(group.example_index, ())]
            whole = [one for one in traces if uses_whole_input(one, group.inputs, words, self.answer_key)]
            ballots.append(_ballot(whole if len(whole) > 1 else traces, self.answer_key))
        return ballots


def final_votes(group: TraceGroup, answer_key: AnswerKey) -> Counter[str]:
    """Returns the number of traces of a group that end in each answer, at the largest budget."""
    return _counted(_ballot(group.traces, answer_key))


def _ballot(traces: Sequence[SampledTrace], answer_key: AnswerKey) -> Ballot:
    return [key_at(trace.checkpoints[-1], answer_key) for trace in traces]


def _counted(ballot: Ballot) -> Counter[str]:
    return Counter(key for key in ballot if key is not None)


def _kappa(ballots: Sequence[Ballot]) -> float:
    """Agreement within ballots beyond that between ballots, at least 0; a missing answer agrees with nothing."""
    counts = [_counted(ballot) for ballot in ballots]
    pooled = sum(counts, Counter())
    sizes = [len(ballot) for ballot in ballots]
    pairs_within = sum(size * (size - 1) for size in sizes)
    pairs_between = sum(sizes) ** 2 - sum(size**2 for size in sizes)
    same_within = sum(votes * (votes - 1) for count in counts for votes in count.values())
    same_between = sum(votes**2 for votes in pooled.values()) - sum(v**2 for count in counts for v in count.values())
    observed = same_within / pairs_within if pairs_within else 0.0
    chance = same_between / pairs_between if pairs_between else 0.0
    return max(0.0, (observed - chance) / (1 - chance)) if chance < 1 else 0.0
