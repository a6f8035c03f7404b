"""What a compile reports: in memory, and in report.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dspy

from anytime_dspy.checkpoint import Usage
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.optimizers.judges.base import Reliability
from anytime_dspy.optimizers.judges.report import GoldCheck, JudgeReport, gold_qualities
from anytime_dspy.optimizers.pairs.pair import PreferencePair
from anytime_dspy.optimizers.search.race_report import RaceReport
from anytime_dspy.optimizers.search.verdict import verdict
from anytime_dspy.storage.typed import read_as

__all__ = ["CompileReport", "Round", "Searched", "gold_agreement", "searched"]


@dataclass(frozen=True)
class Round:
    """One round of sampling, judging, squeezing and racing.

    Attributes:
        traces: The number of sampled traces.
        failed: The number of runs that gave no trace.
        judge: The judge of the traces, and how reliable it was.
        styles: The mean area under the judged curves of each style's traces, in [0, 1], by the style's name. Only
            examples that the judge could decide count.
        pairs: The number of preference pairs, of all examples and budgets.
        squeezed: The number of squeezed traces.
        tokens: Their mean reasoning tokens, before and after squeezing; None without squeezed traces.
        race: The result of the race; None without one.
        synthesis: The cost of sampling.
        squeezing: The cost of squeezing.
        writing: The cost of the styles and instructions that the LM wrote.
        search: The cost of the race.
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
        """The cost of the whole round."""
        return self.synthesis + self.judge.usage + self.squeezing + self.writing + self.search


@dataclass(frozen=True)
class Searched:
    """The result of all races of a compile.

    The last race decides; earlier ones only choose the program to sample next.

    Attributes:
        verdict: One sentence: the returned program, its gain, how certain the gain is, and how many more examples would
            settle it.
        winner: The returned program, in a few words.
        student: The student's index on the examples of the race.
        score: The returned program's index: the student's plus the estimated gain.
        gain: That gain, shrunk towards zero; 0 if the student is returned.
        raw: The observed gain of the best candidate. It is optimistic, because the best of several is picked.
        leader: The estimated gain of the best candidate, returned or not.
        interval: The 95% interval of that estimate.
        chance: The probability that it is above zero.
        examples: The number of examples that the student ran.
        candidates: The number of programs that raced in all rounds, the student included.
        stopped: The limit that stopped the search; None if none did.
        usage: The cost of all races and of writing styles and instructions.
    """

    verdict: str
    winner: str
    student: float
    score: float
    gain: float
    raw: float | None
    leader: float
    interval: tuple[float, float]
    chance: float
    examples: int
    candidates: int
    stopped: str | None
    usage: Usage


@dataclass(frozen=True)
class CompileReport:
    """What a compile did, in the attribute `compile_report` of the compiled program.

    Attributes:
        judge: The name of the judge of the first round.
        reason: Why this judge was used, in one line.
        reliability: The reliability of every judge that was considered, the used one included.
        judged: That judge in detail: order consistency, ties, position bias, agreement with gold.
        traces: The number of traces sampled in the first round.
        failed: The number of its runs that gave no trace.
        pairs: The number of pairs of all rounds.
        selected: The pairs that the program shows.
        squeezed: The number of squeezed traces of all rounds.
        synthesis: The cost of sampling and squeezing in all rounds.
        judging: The cost of judging in all rounds, measuring reliability included.
        gold: How often the judge's preference agrees with gold quality, over all pairs; None without labels.
        gold_selected: The same over the selected pairs.
        search: The result of the races; None for the fixed recipe.
        rounds: Each round, with the standing of every candidate.
    """

    judge: str
    reason: str
    reliability: tuple[Reliability, ...]
    judged: JudgeReport
    traces: int
    failed: int
    pairs: int
    selected: tuple[PreferencePair, ...]
    squeezed: int
    synthesis: Usage
    judging: Usage
    gold: GoldCheck | None
    gold_selected: GoldCheck | None
    search: Searched | None
    rounds: tuple[Round, ...]

    @property
    def usage(self) -> Usage:
        """The cost of the whole compile."""
        return self.synthesis + self.judging + (self.search.usage if self.search else Usage())

    @classmethod
    def read(cls, path: str | Path) -> CompileReport:
        """Reads report.json of a compile's folder.

        Raises:
            RunError: The file cannot be read, or holds something else.
        """
        return read_as(cls, path)


def searched(rounds: Sequence[Round]) -> Searched | None:
    """Returns the result of the races of all rounds; None if there was no race."""
    races = [one.race for one in rounds if one.race]
    if not races:
        return None
    race = races[-1]
    leader, student = race.standings[race.leader], race.student.score or 0.0
    gain = leader.gain.mean if race.winner else 0.0
    return Searched(
        verdict=verdict(race),
        winner=race.standings[race.winner].kind,
        student=student,
        score=student + gain,
        gain=gain,
        raw=leader.raw,
        leader=leader.gain.mean,
        interval=leader.gain.interval,
        chance=leader.gain.chance,
        examples=len(race.student.scores),
        candidates=sum(len(one.standings) for one in races),
        stopped=race.stopped,
        usage=sum((one.search + one.writing for one in rounds), Usage()),
    )


def gold_agreement(
    pairs: Iterable[PreferencePair], trainset: Sequence[dspy.Example], metric: AnytimeIndex
) -> GoldCheck | None:
    """Compares the judge's preferences with gold quality.

    Args:
        pairs: The pairs to compare.
        trainset: The examples of the pairs.
        metric: Its `quality` is the gold one.

    Returns:
        None if no example has labels that the quality can be computed from.
    """
    gaps = []
    for pair in pairs:
        sides = (dspy.Prediction(**one.outputs) if one.answered else None for one in (pair.chosen, pair.rejected))
        if gold := gold_qualities(metric, trainset[pair.example_index], sides):
            gaps.append(gold[0] - gold[1])
    return GoldCheck(len(gaps), sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps)) if gaps else None
