"""Small programs that tests run on scripted engines."""

from __future__ import annotations

from typing import Any

import dspy


class Pipeline(dspy.Module):
    """`n` steps of chain of thought; each step's input is the answer of the one before."""

    def __init__(self, n: int = 2) -> None:
        super().__init__()
        self.steps = [dspy.ChainOfThought("question -> answer") for _ in range(n)]

    def forward(self, question: str) -> dspy.Prediction:
        for step in self.steps:
            prediction = step(question=question)
            question = str(prediction.answer)
        return prediction

    async def aforward(self, question: str) -> dspy.Prediction:
        for step in self.steps:
            prediction = await step.acall(question=question)
            question = str(prediction.answer)
        return prediction


class Counting(dspy.Module):
    """A program without an LM's cooperation: keeps the predictions that its predictor made."""

    def __init__(self, signature: Any = "question -> answer") -> None:
        super().__init__()
        self.think = dspy.ChainOfThought(signature)

    def forward(self, **inputs: Any) -> dspy.Prediction:
        return self.think(**inputs)
