"""The content of a report, whatever its form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from anytime_dspy.report import tables
from anytime_dspy.statistics.comparison import Comparison, compare_runs
from anytime_dspy.statistics.summary import Summary, summarise
from anytime_dspy.storage.runs import Run

__all__ = ["Overview", "overview"]


@dataclass(frozen=True)
class Overview:
    """Runs, their summaries and their comparison.

    Attributes:
        runs: The runs; all others are compared with the first.
        linear: Their summaries on the paper's axis.
        log: The same on a log axis.
        compared: The paired differences.
        target: The quality whose cost in tokens is reported.
    """

    runs: tuple[Run, ...]
    linear: tuple[Summary, ...]
    log: tuple[Summary, ...]
    compared: tuple[Comparison, ...]
    target: float

    @property
    def rows(self) -> list[tuple[str, Summary]]:
        """Label and summary of each run."""
        return [(run.label, summary) for run, summary in zip(self.runs, self.linear, strict=True)]

    def grids(self) -> dict[str, tables.TextTable]:
        """Returns the tables by heading, in the order in which they are shown."""
        log_rows = [(run.label, summary) for run, summary in zip(self.runs, self.log, strict=True)]
        return {
            "Summary": tables.summary_grid(self.rows),
            "Log axis": tables.log_grid(log_rows),
            **({"Differences": tables.comparison_grid(self.compared)} if self.compared else {}),
            "Quality at each budget": tables.curve_grid(self.rows),
            "What more thinking changes": tables.change_grid(self.rows, self.target),
            "Cost": tables.cost_grid(self.rows),
        }

    def as_json(self) -> dict[str, Any]:
        """Returns the figures for machines."""
        return {
            "runs": {
                run.label: {
                    "fingerprint": run.fingerprint,
                    "summary": {**asdict(linear), "final": linear.final, "average": linear.average},
                    "log axis": {"index_best": asdict(log.index_best), "index_committed": asdict(log.index_committed)},
                    "tokens to target": {"target": self.target, "budget": linear.tokens_to_target(self.target)},
                }
                for run, linear, log in zip(self.runs, self.linear, self.log, strict=True)
            },
            "comparisons": [asdict(one) for one in self.compared],
        }


def overview(runs: Sequence[Run], *, target: float | None = None, seed: int = 0) -> Overview:
    """Summarises runs and compares them with the first.

    Args:
        runs: At least one.
        target: The quality whose cost in tokens is reported; by default the first run's final quality.
        seed: The seed of the intervals and tests.

    Raises:
        RunError: The runs cannot be compared.
        BudgetError: Two runs have no measured item in common.
    """
    compared = compare_runs(runs, seed=seed)
    linear = tuple(summarise(run.results, seed=seed) for run in runs)
    log = tuple(summarise(run.results, axis="log", seed=seed) for run in runs)
    return Overview(tuple(runs), linear, log, compared, linear[0].final if target is None else target)
