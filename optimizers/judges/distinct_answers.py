"""The distinct answers of a group of traces, as a judge sees them."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from anytime_dspy.answers import AnswerKey, answer_text, answer_values, key_at
from anytime_dspy.optimizers.judges.base import GroupScores
from anytime_dspy.optimizers.traces.trace import TraceGroup

__all__ = ["Contender", "contenders", "scores_by_answer", "task_text"]


class Contender(NamedTuple):
    """One of the different answers to an example.

    Attributes:
        key: Its canonical form; answers with the same key are the same.
        text: The text that judges see.
    """

    key: str
    text: str


def contenders(group: TraceGroup, answer_key: AnswerKey) -> list[Contender]:
    """Returns the different answers of the traces at any budget, the most common first.

    If the task has its own `answer_key`, judges see only that canonical form: other text in the answer, such as an
    appeal to the judge, cannot influence them. Otherwise they see the answer fields of its first occurrence, as JSON.
    """
    texts: dict[str, str] = {}
    given: Counter[str] = Counter()
    for checkpoint in itertools.chain.from_iterable(trace.checkpoints for trace in group.traces):
        key = key_at(checkpoint, answer_key)
        if key is not None:
            given_as = answer_values(checkpoint.prediction) if answer_key is answer_text else {"answer": key}
            texts.setdefault(key, _as_text(given_as))
            given[key] += 1
    return [Contender(key, texts[key]) for key, _ in given.most_common()]


def task_text(group: TraceGroup) -> str:
    """Returns the task: the student's instructions and the example's inputs."""
    return f"{group.instructions}\n\n{_as_text(group.inputs)}"


def scores_by_answer(group: TraceGroup, table: Mapping[str, float | None], answer_key: AnswerKey) -> GroupScores:
    """Scores every trace at every checkpoint by its answer there.

    Args:
        group: The traces.
        table: The score of each answer, by key; None or a missing entry if the judge cannot decide. With an empty table
            the whole example is undecided.
        answer_key: Returns the key of an answer; an unanswered checkpoint scores 0.
    """

    def score(key: str | None) -> float | None:
        if not table:
            return None
        return 0.0 if key is None else table.get(key)

    return tuple(
        tuple(score(key_at(checkpoint, answer_key)) for checkpoint in trace.checkpoints) for trace in group.traces
    )


def _as_text(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), ensure_ascii=False, indent=1, default=str)
