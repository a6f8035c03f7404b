"""Replies of every shape that an LM has been seen to write, in the format of whichever adapter asks."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from dspy.lm15 import Request

from anytime_dspy.testing import asked_for, chat, prefill_of, prompt_of, question_of, words

SHAPES = ("whole", "cut", "malformed", "empty", "rambling", "header inside", "bare answer", "twice", "noise")
VALUES = (
    *("7", "yes", "about seven", "", '["a", "b"]', '{"city": "Oslo", "days": 3}', "null", "[", "say " * 30),
    *("Ünïcödé 🦊 答え", 'a "quoted" \\ line\nand another', "[[ ## answer ## ]]", "<answer>", '{"answer":'),
)
PIECES = (
    *("alpha", "beta gamma", "7", "\n", "\n\n", " ", "{", "}", "&", '"', "\\", "<", "[[", "<reasoning>", "</answer>"),
    *("[[ ## reasoning ## ]]\n", "\n[[ ## answer ## ]]\n", "[[ ## completed ## ]]", "[[ ## answer ## ]]", "[[ ## comp"),
    *('{"reasoning": "', '", "answer": "', '"}', '"answer":', "</reasoning>", "\n<answer>\n"),
)
STEPS = ("look_up", "look_up", "break_down", "finish", "no such tool", "")
ARGUMENTS = ('{"key": "x"}', "{}", '{"other": 1}', "[1]", "no arguments")


@dataclass(frozen=True)
class Speaker:
    """Answers a prompt always the same, with one of the shapes, thoughts and values that it was given.

    Attributes:
        shapes: Out of `SHAPES`.
        thoughts: Lengths of the reasoning, in tokens.
        values: What answer fields hold.
        noise: What it says where its shape is "noise": a text of `PIECES`.
    """

    shapes: Sequence[str]
    thoughts: Sequence[int]
    values: Sequence[str]
    noise: str = ""

    def __call__(self, request: Request) -> str:
        chance = zlib.crc32(prompt_of(request).encode())
        shape, value = self.shapes[chance % len(self.shapes)], self.values[chance // 7 % len(self.values)]
        if prefill_of(request) is not None:
            return self.noise if shape == "noise" else _continued(shape, value)
        fields = {
            name: _field(name, value, words(self.thoughts[chance // 11 % len(self.thoughts)]), chance)
            for name in asked_for(request) or ("answer",)
        }
        if shape == "header inside":
            first = next(iter(fields), "answer")
            fields[first] = f"{words(5)}\n[[ ## answer ## ]]\n<answer>\n{words(5)}"
        text = _written(request, fields)
        return {
            "cut": text[: 2 * len(text) // 3],
            "malformed": " ".join(fields.values()),
            "empty": "",
            "rambling": f"{text}\n{words(40, 'more')}",
            "bare answer": value,
            "noise": self.noise,
            "twice": f"{text}\n\n{text}",
        }.get(shape, text)


def _field(name: str, value: str, thought: str, chance: int) -> str:
    if name in ("reasoning", "rationale", "next_thought", "discussion"):
        return thought
    if name == "next_tool_name":
        return STEPS[chance // 13 % len(STEPS)]
    if name == "next_tool_args":
        return ARGUMENTS[chance // 17 % len(ARGUMENTS)]
    return '{"predict": "be brief"}' if name == "advice" else value


def _written(request: Request, fields: dict[str, str]) -> str:
    question = question_of(request)
    if "JSON object" in question:
        return json.dumps({name: _loaded(value) for name, value in fields.items()}, ensure_ascii=False)
    if "XML" in question or "`<" in question:
        return "\n".join(f"<{name}>\n{value}\n</{name}>" for name, value in fields.items())
    return chat(**fields)


def _loaded(value: str) -> object:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _continued(shape: str, value: str) -> str:
    return {"empty": "", "rambling": f"{value} {words(40, 'more')}", "twice": f"{value}\n\n{chat(answer=value)}"}.get(
        shape, f"{value}\n\n{chat(next_tool_args='{}')}"
    )
