"""Preference pairs: a better and a worse trace of the same example, at the same budget.

A pair holds the reasoning of each trace up to that budget. The answers that were forced at smaller budgets (the paper's
intermediate solutions) are not part of it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
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
from anytime_dspy.optimizers.likeness import jaccard
from anytime_dspy.optimizers.traces.chat_prompt import Prompt
from anytime_dspy.optimizers.traces.trace import SampledTrace, TraceGroup
from anytime_dspy.storage.jsonl import reading, write_lines

__all__ = ["PreferencePair", "Side", "build_pairs", "distance", "read_pairs", "select_pairs", "write_pairs"]


@dataclass(frozen=True)
class Side:
    """One trace of a pair, cut at the pair's budget.

    Attributes:
        sample: The number of the sample.
        style: Its instruction style.
        calls: The program's calls, with reasoning cut at the budget.
        outputs: The program's prediction.
        score: The judge's score at this budget, in [0, 1].
        curve: The judge's scores at all budgets, 0 where it could not decide.
        reasoning_tokens: Reasoning tokens spent, at most the budget.
        complete: Whether the reasoning ended within the budget.
        answered: Whether the answer could be read.
        worked_out: Whether the reasoning reaches the answer: it contains the answer, the question does not, and no
            answer to the example has a better score. For a squeezed trace: whether its merit is above 0.
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
        """Whether its texts contain no field header of the prompt format, which a demonstration would spread."""
        return not any(
            has_marker(str(text)) for call in self.calls for text in (call.reasoning, *call.outputs.values())
        )

    @property
    def reasoning(self) -> str:
        """The reasoning of all calls."""
        return _reasoning(self.calls)

    @property
    def area(self) -> float:
        """The normalised area under the curve of the judge's scores, in [0, 1]."""
        return self.curve.index(best_so_far=False)

    @classmethod
    def at(cls, trace: SampledTrace, scores: Sequence[float | None], place: int, *, worked_out: bool = False) -> Side:
        """Returns a trace cut at one of its budgets.

        Args:
            trace: The trace.
            scores: The judge's score at each budget.
            place: The index of the budget.
            worked_out: Whether the reasoning reaches the answer.
        """
        checkpoint = trace.checkpoints[place]
        return cls(
            sample=trace.sample,
            style=trace.style,
            calls=checkpoint.calls,
            outputs=dict(checkpoint.prediction.items()),
            score=scores[place] or 0.0,
            curve=AnytimeCurve(tuple(one.budget for one in trace.checkpoints), tuple(one or 0.0 for one in scores)),
            reasoning_tokens=checkpoint.reasoning_tokens,
            complete=not checkpoint.cut,
            answered=checkpoint.answered,
            worked_out=worked_out,
        )


@dataclass(frozen=True)
class PreferencePair:
    """Two traces of one example at one budget, one of which the judge prefers.

    Attributes:
        example_index: The index of the example in the training set.
        inputs: The example's input fields.
        budget: The budget of reasoning tokens.
        chosen: The better trace.
        rejected: The worse trace.
        judge: The name of the judge.
        selected: Whether the compiled program shows this pair.
        prompts: The prompt that both traces answer, by predictor.
        squeezed: Whether the chosen trace is the squeezed form of the rejected one.
        merit: The ranking score of a squeezed trace, in [0, 1]; see `SqueezedTrace`.
        substance: Its number of distinguishing words; see `SqueezedTrace`.
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
        """The difference of the two scores: in (0, 1], or at most 0 for a pair that is only a demonstration."""
        return self.chosen.score - self.rejected.score

    @property
    def earned(self) -> bool:
        """Whether the chosen trace has reasoning, and a higher score than at the smallest budget.

        A trace that is right because the answer is easy to guess teaches a model to skip the reasoning. A pair at the
        smallest budget only needs some reasoning.
        """
        curve = self.chosen.curve
        improved = self.budget == curve.budgets[0] or self.chosen.score > curve.qualities[0]
        return improved and bool(self.chosen.reasoning.strip())


def build_pairs(
    groups: Sequence[TraceGroup], judgement: Judgement, answer_key: AnswerKey = answer_text
) -> list[PreferencePair]:
    """Builds, for each example and budget, the pair with the largest gap.

    Ties are broken in this order: the chosen trace works its answer out, since a demonstration that does not teaches
    the model to skip the reasoning; it ended within the budget; the pair is `earned`; the chosen trace has the larger
    area under its own curve. Two traces with the same reasoning are not a pair. A trace with field headers of the
    prompt format is never chosen.

    Args:
        groups: The traces of each example.
        judgement: The judge's scores of these groups.
        answer_key: Returns the answer to look for in the reasoning.

    Returns:
        Pairs ordered by example, then by budget. There is none where the judge sees no difference.
    """
    pairs = []
    for group, scores in zip(groups, judgement.scores, strict=True):
        question = " ".join(map(shown, group.inputs.values()))
        best = max((row[-1] or 0.0 for row in scores), default=0.0)
        for place, budget in enumerate(checkpoint.budget for checkpoint in group.traces[0].checkpoints):
            sides = [
                Side.at(
                    trace,
                    row,
                    place,
                    worked_out=score >= best and _works_out(trace.checkpoints[place], question, answer_key),
                )
                for trace, row in zip(group.traces, scores, strict=True)
                if (score := row[place]) is not None
            ]
            differing = [
                PreferencePair(group.example_index, group.inputs, budget, *two, judgement.judge, prompts=group.prompts)
                for two in itertools.permutations(sides, 2)
                if two[0].score > two[1].score and two[0].reasoning != two[1].reasoning and two[0].well_formed
            ]
            if differing:
                pairs.append(max(differing, key=_merit))
    return pairs


def select_pairs(pairs: Sequence[PreferencePair]) -> list[PreferencePair]:
    """Selects one pair for each budget: the recipe of the paper.

    It is the best pair, by the order of `build_pairs`, of an example that no smaller budget has used, if there is one;
    otherwise one easy example could serve every budget. Among equals it is the pair whose example is least similar to
    those already selected (Jaccard distance of the words).

    Args:
        pairs: The result of `build_pairs`.

    Returns:
        At most one pair per budget, ordered by budget.

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
    """Returns the distance of two pairs' problems, in [0, 1]: the Jaccard distance of the words of their inputs."""
    return 1.0 - jaccard(_words(pair.inputs), _words(other.inputs))


def write_pairs(path: Path, pairs: Iterable[PreferencePair], selected: Sequence[PreferencePair] = ()) -> None:
    """Writes pairs to a JSON Lines file atomically, and marks the selected ones.

    Raises:
        RunError: It cannot be written.
    """
    chosen = {id(pair) for pair in selected}
    write_lines(path, (replace(pair, selected=pair.selected or id(pair) in chosen) for pair in pairs))


def read_pairs(path: str | Path) -> list[PreferencePair]:
    """Reads the file of `write_pairs`; values that JSON cannot hold are strings.

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
            reason = error.errors()[0]["msg"]
            raise RunError(
                f"line {number} of {path} is no preference pair ({reason}): delete that line, or restore the file"
            ) from error
    return pairs


def _works_out(checkpoint: Checkpoint, question: str, answer_key: AnswerKey) -> bool:
    """Whether the reasoning up to a checkpoint contains its answer, and the question does not."""
    key = key_at(checkpoint, answer_key)
    return key is not None and _says(_reasoning(checkpoint.calls), key) and not _says(question, key)


def _reasoning(calls: Iterable[Call]) -> str:
    return "\n\n".join(call.reasoning for call in calls if call.reasoning)


def _says(text: str, answer: str) -> bool:
    plain, sought = (" ".join(words.split()).casefold() for words in (text, answer))
    return re.search(rf"(?<!\w){re.escape(sought)}(?!\w)", plain) is not None


def _merit(pair: PreferencePair) -> tuple[float, bool, bool, bool, float]:
    chosen = pair.chosen
    # Rounded, so that equal gaps compare equal, and areas that hardly differ leave the choice to the next criterion.
    return round(pair.gap, 6), chosen.worked_out, chosen.complete, pair.earned, round(chosen.area, 1)


def _words(inputs: Mapping[str, Any]) -> frozenset[str]:
    return frozenset(" ".join(map(shown, inputs.values())).casefold().split())
