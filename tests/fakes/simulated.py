"""An engine whose answer to a prompt is known: a formula says how much each thing in the prompt helps.

It is no model of an LM and says nothing about one. It is there so that a search can be told to be right or wrong.

A question needs `N(question)` words of reasoning, 20 to 60. A prompt of skill s needs only `ceil(N (1 - s))` of them:

    s = principle + 0.03 min(long, 4) + 0.1 min(short, 6) + 0.15 [contrast shown, and 2 demonstrations]

where long and short are demonstrations, a short one has at most 8 words of reasoning,

and the principle in the instructions is worth 0.05 for the brief style, 0.1 for the terse one, and 0.25 for the
planted one, which the engine itself writes, when asked for rules, for about every other set of comparisons. The
reasoning ends in the answer, so an answer forced before that is wrong. Sampled with a seed, N varies by up to 40%. The
same request always gets the same answer.
"""

from __future__ import annotations

import re
import zlib
from math import ceil

import dspy
from dspy.lm15 import Request

from anytime_dspy.optimizers.prompts.render import HEADING
from anytime_dspy.testing import (
    asked_for,
    chat,
    demos_of,
    inputs_of,
    prefill_of,
    prompt_of,
    question_of,
    system_of,
    words,
)
from tests.fakes.prompts import style_of

PLANTED = "Keep a running total."
USELESS = "Be very thorough."

SHORT = 8
HEADER = len(["[[", "##", "reasoning", "##", "]]"])

STYLED = {"terse": 0.1, "brief": 0.05}


def skill(instructions: str, demonstrations: list[str]) -> float:
    """The formula above, of what stands in the prompt; of demonstrations, the texts that hold their reasoning."""
    short = sum(len(text.split("[[ ## answer")[0].split()) <= HEADER + SHORT for text in demonstrations)
    told = 0.25 if PLANTED in instructions else STYLED.get(style_of(instructions), 0.0)
    contrast = 0.15 if HEADING in instructions and len(demonstrations) >= 2 else 0.0
    return told + 0.03 * min(len(demonstrations) - short, 4) + 0.1 * min(short, 6) + contrast


def skill_of(program: dspy.Module) -> float:
    """The skill of a program's first predictor."""
    predictor = program.predictors()[0]
    return skill(predictor.signature.instructions, [chat(reasoning=demo["reasoning"]) for demo in predictor.demos])


def simulated(request: Request) -> str:
    """Answers as the formula says; a reply for `ScriptedEngine`."""
    wanted, begun = asked_for(request), prefill_of(request)
    if "better" in wanted:
        return chat(better="A")
    if "sentences" in wanted:
        return chat(sentences=f"- {USELESS}")
    if "rules" in wanted:
        return chat(rules=PLANTED if zlib.crc32(prompt_of(request).encode()) % 2 else USELESS)
    assert wanted[-1] == "answer", f"nobody planned what {wanted} are"
    asked = re.findall(r"sum of (\d+) and (\d+)", question_of(request))
    if not asked:  # a later step of a pipeline is given the answer, and passes it on
        passed = inputs_of(request)["question"].split()[0]
        return chat(reasoning="as given", answer=passed) if begun is None else passed
    first, second = map(int, asked[-1])
    if begun is not None:
        return str(first + second) if f"equals {first + second}" in begun else "unknown"
    need = needed(first, second, request.config.seed) * (1 - skill(system_of(request), demos_of(request)))
    thought = f"{words(max(ceil(need) - 5, 0), 'step')}. {first} + {second} equals {first + second}".strip(". ")
    return chat(reasoning=thought, answer=first + second)


def needed(first: int, second: int, seed: int | None = None) -> float:
    """Words of reasoning that a question needs of a program without any skill."""
    plain = 20 + (7 * first + 11 * second) % 41
    return (
        plain if seed is None else plain * (0.6 + 0.8 * (zlib.crc32(f"{seed}/{first}/{second}".encode()) % 101) / 100)
    )


def examples(start: int, count: int) -> list[dspy.Example]:
    """Questions with their answers; other starts give other questions."""
    return [
        dspy.Example(question=f"the sum of {n} and {3 * n + 1} ?", answer=str(4 * n + 1)).with_inputs("question")
        for n in range(start, start + count)
    ]
