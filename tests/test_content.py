"""Calls on a tape are found by the content of what was asked, not by what its `repr` shows."""

from __future__ import annotations

import dataclasses
import datetime
import threading
import time
from collections.abc import Callable
from typing import Any

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.runtime.content import content_key
from anytime_dspy.runtime.context import enforce
from anytime_dspy.runtime.tape import Tape
from anytime_dspy.runtime.tool_tape import tape_tools
from anytime_dspy.runtime.tracker import BudgetTracker
from anytime_dspy.testing import chat, prefill_of, scripted_lm, words


class Plain:
    """An object with the repr that every object has."""

    def __init__(self, text: str) -> None:
        self.text = text


class Slotted:
    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Terse(Plain):
    def __repr__(self) -> str:
        return "Terse()"


@dataclasses.dataclass
class Record:
    name: str
    secret: str = dataclasses.field(repr=False)


def greeter(word: str) -> Any:
    def greet(name: str) -> str:
        return f"{word} {name}"

    return greet


def looped(text: str) -> list[Any]:
    values: list[Any] = [text]
    values.append(values)
    return values


MAKERS = {
    "audio": lambda text: dspy.Audio(data=text, audio_format="wav"),
    "image": lambda text: dspy.Image(url=f"data:image/png;base64,{text}"),
    "object": Plain,
    "slots": Slotted,
    "a repr of its own": Terse,
    "dataclass": lambda text: Record("x", text),
    "example": lambda text: dspy.Example(value=Plain(text)),
    "nested": lambda text: {"a": [Plain(text), (text,)]},
    "set": lambda text: {text, "b", "c"},
    "function": greeter,
    "a value that holds itself": looped,
    "date": lambda text: datetime.date(2020, 1, len(text) + ord(text[-1]) % 7),
    "long text": lambda text: text * 1000,
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_key_is_the_content(kind):
    make = MAKERS[kind]
    assert content_key(make("AAAA")) == content_key(make("AAAA"))
    assert content_key(make("AAAA")) != content_key(make("AAAB"))


def test_arrays_differ_in_their_middle():
    numpy = pytest.importorskip("numpy")
    one, other = numpy.zeros(5000), numpy.zeros(5000)
    other[2500] = 1
    assert repr(one) == repr(other)
    assert content_key(one) == content_key(numpy.zeros(5000)) != content_key(other)


def test_values_of_other_types_have_other_keys():
    values = [1, True, 1.0, "1", b"1", [1], (1,), {1}, frozenset({1}), {1: 1}, None, Plain("1"), Terse("1")]
    assert len({content_key(value) for value in values}) == len(values)


def test_what_cannot_be_taken_apart_is_known_by_its_identity():
    lock = threading.Lock()
    assert content_key(lock) == content_key(lock) != content_key(threading.Lock())


@pytest.mark.parametrize("make", [MAKERS["audio"], MAKERS["image"]], ids=["audio", "image"])
def test_two_recordings_of_one_length_are_told_apart_in_a_sweep(make):
    first, second = make("AAAA"), make("BBBB")
    kind = type(first)

    class Both(dspy.Module):
        def __init__(self):
            super().__init__()
            signature = dspy.Signature("clip, question -> answer").with_updated_fields("clip", type_=kind)
            self.hear = dspy.ChainOfThought(signature)

        def forward(self, turned: bool):
            clips = (second, first) if turned else (first, second)
            return dspy.Prediction(answer=" ".join(self.hear(clip=clip, question="?").answer for clip in clips))

    def reply(request):
        sent = [str(getattr(part, "data", "")) for message in request.messages for part in message.parts]
        said = "four A" if any("AAAA" in data for data in sent) else "four B"
        return said if prefill_of(request) else chat(reasoning=words(5), answer=said)

    program = Both()
    lm = scripted_lm(reply)
    tape = Tape()
    with dspy.context(lm=lm):
        with enforce(BudgetTracker(ad.Budget(tokens=100), 64), tape):
            assert program(turned=False).answer == "four A four B"
        with enforce(
            BudgetTracker(ad.Budget(tokens=100), 64), tape
        ):  # the program goes another way: what it asks first now was asked last before
            assert program(turned=True).answer == "four B four A"
    assert len(lm.engine.requests) == 2


def test_an_object_made_anew_in_every_run_is_found_on_the_tape():
    class Asks(dspy.Module):
        def __init__(self):
            super().__init__()
            self.ask = dspy.ChainOfThought("state, question -> answer")

        def forward(self, question: str):
            return self.ask(state=Plain("calm"), question=question)

    lm = scripted_lm(lambda request: "guess" if prefill_of(request) else chat(reasoning=words(50), answer="sure"))
    with dspy.context(lm=lm):
        prediction = ad.Anytime(Asks(), (10, 20, 30, 90), answer_tokens=20)(question="?")
    begun = [request for request in lm.engine.requests if prefill_of(request) is None]
    assert len(begun) == 1
    assert [checkpoint.usage.calls for checkpoint in prediction.checkpoints] == [2, 2, 2, 1]


def test_a_tool_is_told_its_arguments_apart_by_content():
    heard: list[str] = []

    def listen(clip: Any) -> str:
        """Listens."""
        heard.append(clip.text)
        return clip.text

    class Agent(dspy.Module):
        def __init__(self):
            super().__init__()
            self.tool = dspy.Tool(listen)
            self.ask = dspy.ChainOfThought("question -> answer")

        def forward(self, question: str):
            said = [self.tool(clip=Plain(text)) for text in ("a", "b")]
            return self.ask(question=" ".join(said))

    program = Agent()
    tape_tools(program)
    lm = scripted_lm(lambda request: "guess" if prefill_of(request) else chat(reasoning=words(50), answer="sure"))
    with dspy.context(lm=lm):
        ad.Anytime(program, (10, 90), answer_tokens=20)(question="?")
    assert heard == ["a", "b"]


def cpu_seconds(function: Callable[[], object]) -> float:
    begun = time.process_time()
    for _ in range(100):
        function()
    return time.process_time() - begun


def test_a_key_of_plain_values_costs_less_than_dspy_takes_to_format_them():
    inputs = {"question": "What is 6*7? " * 50, "context": ["a passage of text " * 20] * 10}
    signature, adapter = dspy.Signature("question, context: list[str] -> answer"), dspy.ChatAdapter()
    assert cpu_seconds(lambda: content_key(inputs)) < cpu_seconds(lambda: adapter.format(signature, [], inputs))
