"""Numbered questions whose answer is their number, for a server that several processes ask."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from anytime_dspy.storage.results import ExampleResult
from anytime_dspy.testing import chat, words
from tests.fakes.http_server import Received, Reply

TASK = """
import dspy
from anytime_dspy.programs.task import Task, field_text

def load(path=None, split="test"):
    return [dspy.Example(id=str(n), question=f"question {n}?").with_inputs("question") for n in range(24)]

def answer_key(prediction):
    return field_text(prediction, "answer") or None

def quality(example, prediction):
    return float(answer_key(prediction) == example.id)

task = Task("numbers", "1", "question -> answer", load=load, quality=quality, answer_key=answer_key, budgets=(8, 16),
            answer_tokens=40)
"""


def numbered(received: Received) -> Reply:
    """A script for `ChatServer`: reasoning of its own length for each question, and the answer."""
    number = _number(received)
    if _is_trace(received):
        return Reply(chat(reasoning=words(4 + int(number) % 20), answer=number))
    return Reply(chat(answer=number))


def traced(received: Received) -> str | None:
    """The number of the question whose trace is asked for; None for a forced answer."""
    return _number(received) if _is_trace(received) else None


def timeless(results: Iterable[ExampleResult]) -> list[ExampleResult]:
    """Results without the seconds that their calls took."""
    return [
        replace(
            result, points=tuple(replace(point, usage=replace(point.usage, seconds=0.0)) for point in result.points)
        )
        for result in results
    ]


def _number(received: Received) -> str:
    return str(re.findall(r"question (\d+)", received.prompt)[-1])


def _is_trace(received: Received) -> bool:
    return "starting with the field `[[ ## reasoning ## ]]`" in received.prompt
