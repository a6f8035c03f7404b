"""Small programs that tests run on scripted engines."""

from __future__ import annotations

import dspy


class Pipeline(dspy.Module):
    """`n` steps of chain of thought; each step's input is the answer of the one before."""

    def __init__(self, n: int = 2, signature: str = "question -> answer") -> None:
        super().__init__()
        self.steps = [dspy.ChainOfThought(signature) for _ in range(n)]

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
