"""Sweeps examples into a folder and writes down which of them it ran; other processes may do the same at once."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import dspy

import anytime_dspy as ad
from anytime_dspy.measure import sweep
from anytime_dspy.storage.run_folder import RunStore
from anytime_dspy.testing import chat, scripted_lm, words

FINGERPRINT = {"task": "shared"}


def main(folder: str, name: str, count: int, seconds: float) -> None:
    """Sweeps `count` examples that take `seconds` each."""
    ran = Path(folder).with_name(f"ran-{name}")

    def quality(example: dspy.Example, prediction: dspy.Prediction) -> float:
        time.sleep(seconds)
        with ran.open("a") as file:
            file.write(f"{example.id}\n")
        return 1.0

    lm = scripted_lm(lambda request: chat(reasoning=words(300), answer="so"), can_continue=False)
    program = ad.Anytime(dspy.ChainOfThought("question -> answer"), budgets=(400,), answer_tokens=20)
    examples = [dspy.Example(id=n, question=f"question {n}?").with_inputs("question") for n in range(count)]
    store = RunStore.open(folder, FINGERPRINT)
    print("ready", flush=True)
    sys.stdin.readline()
    with dspy.context(lm=lm):
        results = sweep(program, examples, ad.AnytimeIndex(quality), store=store, threads=2)
    assert [result.id for result in results] == [str(n) for n in range(count)]
    assert all(result.error is None for result in results)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
