"""A program that runs no LM: what it scores on an example is drawn by a formula from what it shows.

It is no model of an LM and says nothing about one. It is there so that a race can be told to be right or wrong, in a
thousand sweeps a second.

An example has a difficulty, and an attempt at it has luck; both are drawn by the example, luck by the prompt too. The
program is right with the probability `base + sum of the effects of its demonstrations`, which is told by their names.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

import dspy

import anytime_dspy as ad
from anytime_dspy.checkpoint import Call, Checkpoint, Usage
from anytime_dspy.curve import AnytimeCurve
from anytime_dspy.optimizers.pairs.pair import PreferencePair, Side

BUDGETS = (8, 16)
METRIC = ad.AnytimeIndex(lambda example, prediction: float(prediction.answer))


class ScoredProgram(ad.Anytime):
    """Right or wrong as the formula says.

    Args:
        effects: Of a demonstration on the chance to be right, by the question that it shows.
        base: The chance of the program without any.
        seed: Of difficulty and luck.
    """

    def __init__(self, effects: Mapping[str, float], base: float = 0.4, seed: int = 0) -> None:
        super().__init__(dspy.ChainOfThought("question -> answer"), BUDGETS)
        self.effects = dict(effects)
        self.base = base
        self.seed = seed

    def forward(self, question: str) -> dspy.Prediction:
        demos = [demo["question"] for demo in self.program.predict.demos]
        told = self.program.predict.signature.instructions
        chance = self.base + sum(self.effects.get(demo, 0.0) for demo in demos)
        difficulty = random.Random(f"{self.seed}/{question}").random()
        luck = random.Random(f"{self.seed}/{question}/{sorted(demos)}/{told}").random()
        right = (difficulty if luck < 0.5 else random.Random(f"{luck}").random()) < chance
        answer = dspy.Prediction(answer=str(int(right)))
        points = tuple(Checkpoint(b, answer, 1, 1, False, True, Usage(1, 1, 1, calls=1)) for b in BUDGETS)
        return dspy.Prediction(answer=answer.answer, checkpoints=points)

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)


def questions(count: int, name: str = "question") -> list[dspy.Example]:
    """Returns examples that the program can be asked."""
    return [dspy.Example(question=f"{name} {n}", answer="1").with_inputs("question") for n in range(count)]


def shown(question: str) -> PreferencePair:
    """Returns a squeezed pair whose chosen trace is a demonstration of that question."""

    def side(text: str, score: float) -> Side:
        call = Call("predict", {"question": question}, {"reasoning": text, "answer": "1"}, text, 1, 1, False, True)
        curve = AnytimeCurve(BUDGETS, (score, score))
        return Side(0, "plain", (call,), {"answer": "1"}, score, curve, 1, True, True, True)

    chosen, rejected = side(f"thought of {question}", 1.0), side(f"long thought of {question}", 0.0)
    return PreferencePair(0, {"question": question}, BUDGETS[0], chosen, rejected, "metric", squeezed=True, merit=1.0)
