from __future__ import annotations

from anytime_dspy.checkpoint import Usage
from anytime_dspy.cli.progress import compile_bars, searching_line
from anytime_dspy.optimizers import RaceProgress

BEGUN = RaceProgress(0, 0, 4, 15, 1, 16, None, None, None, Usage(900, 100, calls=12), None)
LATER = RaceProgress(
    0, 1, 4, 8, 20, 25, "squeezed 4", 0.1234, (-0.02, 0.26), Usage(90_000, calls=1200, dollars=0.5), seconds_left=130.0
)


def test_the_line_says_what_is_known():
    assert searching_line(BEGUN) == "Heat 1 of 4, 15 left, 12 calls, 1,000 tokens"
    assert searching_line(LATER) == (
        "Heat 2 of 4, 8 left, squeezed 4 +0.12 [-0.02, +0.26], 1200 calls, 90,000 tokens, $0.50, 2:10 left"
    )


def test_the_bars_count_traces_then_squeezed_ones_and_then_trials():
    with compile_bars(2) as bars:
        bars.on_trace(None)
        bars.on_squeezed(None)
        bars.on_trial(LATER)
        traces, squeezed, trials = bars.bars.tasks
        assert (traces.completed, traces.total) == (1, 2)
        assert squeezed.completed == 1
        assert (trials.completed, trials.total) == (20, 25)


def test_a_later_rounds_traces_are_counted_without_an_end():
    with compile_bars(2) as bars:
        for _ in range(3):
            bars.on_trace(None)
        traces = bars.bars.tasks[0]
        assert (traces.completed, traces.total) == (3, None)
