"""Small programs that tests run on scripted engines."""

from __future__ import annotations

import dspy


def frozen(program: dspy.Module, demo: dspy.Example) -> dspy.Module:
    """Returns a program as BootstrapFewShot leaves it: its predictors are hidden from the modules around it."""
    compiler = dspy.BootstrapFewShot(max_bootstrapped_demos=0, max_labeled_demos=1)
    compiled = compiler.compile(program, trainset=[demo])
    assert is_hidden(compiled)
    return compiled


def is_hidden(program: dspy.Module) -> bool:
    """Whether a module around a program would not see its predictors."""
    around = dspy.Module()
    around.program = program
    return not around.named_predictors()


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
