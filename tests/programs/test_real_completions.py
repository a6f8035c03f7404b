"""Numbers read out of what a model really wrote, each reading checked by eye.

`tests/data/completions.jsonl` holds 120 of the 762 texts that qwen2.5-coder-0.5b-instruct wrote for generated word
problems (seed 9001) and GSM8K's first test questions (Cobbe et al. 2021, MIT licence; the questions are not in it): by
DSPy's ChainOfThought at 16 to 96 tokens of reasoning ("dspy-..."), or asked plainly, with up to 220 tokens ("raw-...").
All texts are there that the reader before `number_reader` read otherwise, as far as they are short and one reading is
right beyond doubt; `number` is what the text says, right or wrong, and null where it says none.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from anytime_dspy.programs.aime import read_integer
from anytime_dspy.programs.numbers.reader import read_number

LINES = (Path(__file__).parent.parent / "data" / "completions.jsonl").read_text(encoding="utf-8").splitlines()
COMPLETIONS = [json.loads(line) for line in LINES]


@pytest.mark.parametrize("completion", COMPLETIONS, ids=lambda completion: completion["key"])
def test_the_number_that_a_real_completion_gives_is_read(completion: dict[str, str | None]) -> None:
    text, number = str(completion["text"]), completion["number"]
    assert read_number(text) == number
    assert read_integer(text) == (number if number is not None and number.isdigit() and int(number) <= 999 else None)


def test_the_completions_are_many_and_of_many_kinds() -> None:
    assert len(COMPLETIONS) == len({completion["key"] for completion in COMPLETIONS}) == 120
    assert sum(completion["number"] is None for completion in COMPLETIONS) >= 20
    assert sum("boxed" in completion["text"] for completion in COMPLETIONS) >= 20
