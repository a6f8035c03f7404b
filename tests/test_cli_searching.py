from __future__ import annotations

from anytime_dspy.checkpoint import Usage
from anytime_dspy.cli.searching import compile_bars, searching_line
from anytime_dspy.optimizers import Progress

BEGUN = Progress(0, 0, 20, 8, 24, None, Usage(prompt_tokens=900, reasoning_tokens=100, calls=12), None)
LATER = Progress(0, 4, 20, 24, 24, 0.4123, Usage(prompt_tokens=90_000, calls=1200, dollars=0.5), 130.0)


def test_the_line_says_what_is_known():
    assert searching_line(BEGUN) == "Trial 1 of 20, 12 calls, 1,000 tokens"
    assert searching_line(LATER) == "Trial 5 of 20, best 0.412, 1200 calls, 90,000 tokens, $0.50, 2:10 left"


def test_the_bars_count_traces_and_then_examples_of_all_trials():
    with compile_bars(2) as bars:
        bars.on_trace(None)
        bars.on_trial(LATER)
        traces, trials = bars.bars.tasks
        assert (traces.completed, traces.total) == (1, 2)
        assert (trials.completed, trials.total) == (4 * 24 + 24, 20 * 24)
