"""Traces made by hand, as the sampler would have left them."""

from __future__ import annotations

import dspy

from anytime_dspy.checkpoint import Call, Checkpoint, Usage
from anytime_dspy.optimizers.traces.trace import SampledTrace, TraceGroup

BUDGETS = (16, 32)


def checkpoint(budget, answer, *, reasoning="some thought", cut=True, problem="?"):
    outputs = {"reasoning": reasoning, "answer": answer}
    call = Call("predict", {"question": problem}, outputs, reasoning, min(budget, 9), 3, cut, answer is not None)
    return Checkpoint(
        budget=budget,
        prediction=dspy.Prediction(**outputs),
        reasoning_tokens=len(reasoning.split()),
        answer_tokens=3,
        forced=cut,
        answered=answer is not None,
        usage=Usage(calls=1),
        calls=(call,),
        cut=cut,
    )


def trace(*answers, index=0, sample=0, reasonings=None, cut=True, problem="?"):
    """A trace with these answers at growing budgets; its reasoning tells its sample unless given."""
    budgets = [16 * 2**place for place in range(len(answers))]
    texts = reasonings or [f"thought {sample} up to {budget}" for budget in budgets]
    points = [
        checkpoint(budget, answer, reasoning=text, cut=cut, problem=problem)
        for budget, answer, text in zip(budgets, answers, texts, strict=True)
    ]
    return SampledTrace(index, "plain", sample, sample, tuple(points), Usage(calls=1))


def group(*answers_of_traces, index=0, problem="?"):
    traces = [
        trace(*answers, index=index, sample=sample, problem=problem) for sample, answers in enumerate(answers_of_traces)
    ]
    return TraceGroup(index, "Answer the question.", {"question": problem}, tuple(traces))
