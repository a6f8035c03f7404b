"""Preference pairs: a better and a worse trace of the same example, at the same budget.

A pair holds the reasoning that each trace had written by then. The paper's intermediate solutions, the answers that
were forced at smaller budgets, are no part of that reasoning and never in a pair.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from anytime_dspy.answers import AnswerKey, answer_text, key_at
from anytime_dspy.calls.markers import has_marker
from anytime_dspy.calls.media import shown
from anytime_dspy.checkpoint import Call, Checkpoint
from anytime_dspy.curve import AnytimeCurve
from anytime_dspy.errors import AnytimeError, RunError
from anytime_dspy.optimizers.judges.base import Judgement
from anytime_dspy.optimizers.traces.chat_prompt import Prompt
from anytime_dspy.optimizers.traces.trace import SampledTrace, TraceGroup
from anytime_dspy.storage.jsonl import reading, write_lines

__all__ = ["PreferencePair", "Side", "build_pairs", "distance", "read_pairs", "select_pairs", "write_pairs"]


@dataclass(frozen=True)
class Side:
    """One trace of a pair, as it stood at the pair's budget.

    Attributes:
        sample: Which of the example's samples it is.
        style: The style that it was sampled under.
        calls: The program's calls, their reasoning cut to the budget.
        outputs: The program's prediction.
        score: What the judge gave it here, in [0, 1].
        curve: What the judge gave it at every budget, 0 where it could not decide.
        reasoning_tokens: Reasoning spent, at most the budget.
        complete: Whether it ended by itself within the budget.
        answered: Whether its answer could be read.
        worked_out: Whether the reasoning came to the answer by itself: it says it, the question does not, and no answer
            to the example is judged better. Then the answer call had only to read it off.
    """

    sample: int
    style: str
    calls: tuple[Call, ...]
    outputs: Mapping[str, Any]
    score: float
    curve: AnytimeCurve
    reasoning_tokens: int
    complete: bool
    answered: bool
    worked_out: bool

    @property
    def well_formed(self) -> bool:
        """Whether no header of the prompt format strayed into its texts: shown again, it would teach to write such."""
        return not any(
            has_marker(str(text)) for call in self.calls for text in (call.reasoning, *call.outputs.values())
        )

    @property
    def reasoning(self) -> str:
        """The reasoning of all its calls."""
        return _reasoning(self.calls)

    @property
    def area(self) -> float:
        """The area under its self-judged curve, as a share of what is achievable."""
        return self.curve.index(best_so_far=False)


@dataclass(frozen=True)
class PreferencePair:
    """Two traces of one example at one budget, of which the judge prefers one.

    Attributes:
        example_index: The example's place in the training set.
        inputs: The example's input fields.
        budget: Reasoning tokens.
        chosen: The better trace.
        rejected: The worse one.
        judge: Who says so.
        selected: Whether the recipe took this pair for its budget.
        prompts: What both traces answer, by predictor.
        squeezed: Whether the chosen trace is the rejected one with only the units that its answer needs.
        merit: What such a trace is worth as a demonstration, in [0, 1]; see `SqueezedTrace`.
        substance: How much it works with, in words; see there.
    """

    example_index: int
    inputs: Mapping[str, Any]
    budget: int
    chosen: Side
    rejected: Side
    judge: str
    selected: bool = False
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    squeezed: bool = False
    merit: float = 0.0
    substance: int = 0

    @property
    def gap(self) -> float:
        """How much better the chosen trace is, in (0, 1]."""
        return self.chosen.score - self.rejected.score

    @property
    def earned(self) -> bool:
        """Whether the chosen trace has reasoning, and did better with it than at the smallest budget.

        A trace that is right only because the answer is easy to guess teaches a model to skip its reasoning. At the
        smallest budget itself having some is enough.
        """
        curve = self.chosen.curve
        improved = self.budget == curve.budgets[0] or self.chosen.score > curve.qualities[0]
        return improved and bool(self.chosen.reasoning.strip())


def build_pairs(
    groups: Sequence[TraceGroup], judgement: Judgement, answer_key: AnswerKey = answer_text
) -> list[PreferencePair]:
    """Builds, for each example and budget, the pair with the largest gap.

    Of equal gaps the pair is taken whose chosen trace worked its answer out (one that left it to the answer call, shown
    as a demonstration, teaches to skip the reasoning), else ended by itself within the budget, else earned its tokens,
    else has the larger area under its own curve. Two traces with the same reasoning are no pair, since they differ in
    luck alone; a trace with strayed headers of the prompt format is never chosen.

    Args:
        groups: The traces of each example.
        judgement: A judge's scores of these very groups.
        answer_key: Gives the answer that a reasoning may state.

    Returns:
        Pairs ordered by example, then by budget; examples and budgets where the judge sees no difference have none.
    """
    pairs = []
    for group, scores in zip(groups, judgement.scores, strict=True):
        for place, budget in enumerate(checkpoint.budget for checkpoint in group.traces[0].checkpoints):
            best = max((row[-1] or 0.0 for row in scores), default=0.0)
            sides = [
                _side(trace, row, place, _workings(group, answer_key, best))
                for trace, row in zip(group.traces, scores, strict=True)
            ]
            differing = [
                PreferencePair(group.example_index, group.inputs, budget, *two, judgement.judge, prompts=group.prompts)
                for two in itertools.permutations([side for side in sides if side is not None], 2)
                if two[0].score > two[1].score and two[0].reasoning != two[1].reasoning and two[0].well_formed
            ]
            if differing:
                pairs.append(max(differing, key=_merit))
    return pairs


def select_pairs(pairs: Sequence[PreferencePair]) -> list[PreferencePair]:
    """Takes one pair for each budget: the recipe of the paper.

    It is the best pair, in the order of `build_pairs`, among the examples that no smaller budget took, as long as there
    are any: one easy example would else stand for every budget. Between equals it is the one whose example is least
    like those already taken (Jaccard distance of their words).

    Args:
        pairs: As `build_pairs` returned them.

    Returns:
        At most one pair a budget, ordered by budget.

    Raises:
        AnytimeError: There are no pairs to choose from.
    """
    if not pairs:
        raise AnytimeError(
            "the judge saw no difference between any two traces, so there is nothing to learn from: take more samples "
            "or training examples, a higher temperature, or another judge"
        )
    taken: list[PreferencePair] = []
    for budget in sorted({pair.budget for pair in pairs}):
        here = [pair for pair in pairs if pair.budget == budget]
        used = {pair.example_index for pair in taken}
        fresh = [pair for pair in here if pair.example_index not in used] or here
        novelty = {id(pair): min((distance(pair, other) for other in taken), default=1.0) for pair in fresh}
        taken.append(max(fresh, key=lambda pair: (*_merit(pair), novelty[id(pair)])))
    return taken


def distance(pair: PreferencePair, other: PreferencePair) -> float:
    """Returns how unlike two pairs' problems are, in [0, 1]: the Jaccard distance of the words of their inputs."""
    here, there = _words(pair.inputs), _words(other.inputs)
    return 1.0 - len(here & there) / len(here | there) if here | there else 0.0


def write_pairs(path: Path, pairs: Iterable[PreferencePair], selected: Sequence[PreferencePair] = ()) -> None:
    """Writes pairs as JSON Lines, the selected ones marked, as a whole file or not at all.

    Raises:
        RunError: It cannot be written.
    """
    chosen = {id(pair) for pair in selected}
    write_lines(path, (replace(pair, selected=pair.selected or id(pair) in chosen) for pair in pairs))


def read_pairs(path: str | Path) -> list[PreferencePair]:
    """Reads what `write_pairs` wrote; values that JSON cannot hold are text now.

    Raises:
        RunError: The file cannot be read, or holds something else.
    """
    path = Path(path)
    with reading(path):
        lines = path.read_bytes().split(b"\n")
    adapter = TypeAdapter(PreferencePair)
    pairs = []
    for number, line in enumerate(lines[:-1] if lines[-1] == b"" else lines, start=1):
        try:
            pairs.append(adapter.validate_json(line))
        except ValidationError as error:
            raise RunError(f"line {number} of {path} is no preference pair: {error.errors()[0]['msg']}") from error
    return pairs


def _side(
    trace: SampledTrace, scores: Sequence[float | None], place: int, worked_out: Callable[[Checkpoint, float], bool]
) -> Side | None:
    score, checkpoint = scores[place], trace.checkpoints[place]
    if score is None:
        return None
    return Side(
        sample=trace.sample,
        style=trace.style,
        calls=checkpoint.calls,
        outputs=dict(checkpoint.prediction.items()),
        score=score,
        curve=AnytimeCurve(tuple(point.budget for point in trace.checkpoints), tuple(one or 0.0 for one in scores)),
        reasoning_tokens=checkpoint.reasoning_tokens,
        complete=not checkpoint.cut,
        answered=checkpoint.answered,
        worked_out=worked_out(checkpoint, score),
    )


def _workings(group: TraceGroup, answer_key: AnswerKey, best: float) -> Callable[[Checkpoint, float], bool]:
    question = " ".join(map(shown, group.inputs.values()))

    def worked_out(checkpoint: Checkpoint, score: float) -> bool:
        key = key_at(checkpoint, answer_key)
        if key is None or score < best:
            return False
        return _says(_reasoning(checkpoint.calls), key) and not _says(question, key)

    return worked_out


def _reasoning(calls: Iterable[Call]) -> str:
    return "\n\n".join(call.reasoning for call in calls if call.reasoning)


def _says(text: str, answer: str) -> bool:
    plain, sought = (" ".join(words.split()).casefold() for words in (text, answer))
    return re.search(rf"(?<!\w){re.escape(sought)}(?!\w)", plain) is not None


def _merit(pair: PreferencePair) -> tuple[float, bool, bool, bool, float]:
    chosen = pair.chosen
    # Rounded, so that equal gaps are equal and areas that hardly differ leave room for what is asked next.
    return round(pair.gap, 6), chosen.worked_out, chosen.complete, pair.earned, round(chosen.area, 1)


def _words(inputs: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(" ".join(map(shown, inputs.values())).casefold().split())
