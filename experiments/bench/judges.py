"""How the judges that need no labels fare on a real model: their reliability, and how often gold agrees with them."""

from __future__ import annotations

from dataclasses import dataclass

import dspy

import anytime_dspy as ad
from anytime_dspy.optimizers.judges.base import Choice, Judge
from anytime_dspy.optimizers.judges.registry import Panel
from anytime_dspy.optimizers.judges.report import JudgeReport, judge_report
from anytime_dspy.optimizers.traces.sampling import Sampling, sample_traces
from anytime_dspy.optimizers.traces.trace import TraceGroup, group_traces
from anytime_dspy.programs import get_task

BUDGET = 96
SAMPLES = 4
ANSWER_TOKENS = 16
NAMES = ("agreement", "confidence", "pairwise")


@dataclass(frozen=True)
class Judges:
    """What was measured.

    Attributes:
        model: The model that solved the problems, and judged itself.
        examples: Word problems.
        samples: Traces of each, over the styles that PDP samples under.
        budget: Reasoning tokens of each trace.
        right: The share of traces whose answer is right.
        judges: What each judge was like on these very traces.
    """

    model: str
    examples: int
    samples: int
    budget: int
    right: float
    judges: dict[str, JudgeReport]


def measure(model: str = "qwen2.5-coder-0.5b-instruct", examples: int = 16, seed: int = 0) -> Judges:
    """Samples traces and has every judge score them."""
    task = get_task("word_problems")
    problems = task.generate(examples, seed=seed)
    metric = ad.AnytimeIndex(task.quality)
    student = ad.Anytime(task.program(), (BUDGET,), answer_tokens=ANSWER_TOKENS)
    with dspy.context(lm=ad.local_lm(model)):
        traces = sample_traces(student, problems, Sampling(samples=SAMPLES, seed=seed))
        groups = group_traces(student, problems, traces)
        panel = Panel(metric, problems, task.answer_key, seed=seed)
        reports = {name: _report(panel.judges(name)[0], groups, problems, metric) for name in NAMES}
    right = [task.quality(problems[trace.example_index], trace.checkpoints[-1].prediction) for trace in traces]
    return Judges(model, examples, SAMPLES, BUDGET, sum(right) / len(right), reports)


def _report(
    judge: Judge, groups: list[TraceGroup], problems: list[dspy.Example], metric: ad.AnytimeIndex
) -> JudgeReport:
    measured = judge.reliability(groups)
    return judge_report(Choice(judge, (measured,), "measured"), judge.scores(groups), groups, problems, metric)
