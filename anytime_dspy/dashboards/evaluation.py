"""A sweep as DSPy's callbacks see it, and as MLflow shows it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

import dspy
from dspy.evaluate.evaluate import EvaluationResult
from dspy.utils.callback import with_callbacks

from anytime_dspy.anytime import Anytime
from anytime_dspy.curve import AnytimeCurve
from anytime_dspy.dashboards.mlflow_runs import mlflow_in_use
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.storage.results import ExampleResult
from anytime_dspy.storage.run_folder import RunStore

__all__ = ["SweepEvaluation", "log_sweep"]

logger = logging.getLogger(__name__)

PAGE_EXAMPLES = 2000
"""Examples up to which the page is logged: it holds each one's trace and answers."""


class SweepEvaluation(dspy.Evaluate):
    """Runs a sweep as an evaluation that DSPy's callbacks see, MLflow's among them.

    Args:
        examples: What the program is run on.
        metric: Scores the checkpoints.
        threads: Examples run at the same time.
        run: Runs the sweep.
        private: Whether the examples' texts must not be shown; results then show only what the sweep stored of them.

    Attributes:
        results: What the sweep returned.
    """

    def __init__(
        self,
        examples: Sequence[dspy.Example],
        metric: AnytimeIndex,
        threads: int,
        run: Callable[[], list[ExampleResult]],
        *,
        private: bool = False,
    ) -> None:
        super().__init__(devset=list(examples), metric=metric, num_threads=threads)
        self.results: list[ExampleResult] = []
        self._run = run
        self._private = private

    @with_callbacks  # type: ignore[untyped-decorator]
    def __call__(self, program: Anytime, callback_metadata: Mapping[str, Any] | None = None) -> EvaluationResult:
        """Returns what DSPy's own evaluation returns, the mean index in percent; an example that failed has no score.

        Args:
            program: The program, for the callbacks.
            callback_metadata: For the callbacks: the name of the metric, as `metric_key`.
        """
        self.results = self._run()
        scored = [
            (
                dspy.Example(result.inputs) if self._private else example,
                dspy.Prediction(**result.points[-1].prediction),
                _index(self.metric, result),
            )
            for example, result in zip(self.devset, self.results, strict=True)
            if result.error is None
        ]
        return EvaluationResult(score=round(100 * fmean(score for *_, score in scored), 2), results=scored)


def log_sweep(program: Anytime, results: Sequence[ExampleResult], metric: AnytimeIndex, store: RunStore | None) -> None:
    """Logs a sweep in MLflow's active run, if there is one: the curve, the index, and the report's page.

    What MLflow refuses is a warning: the results are paid for, and stand.

    Args:
        program: The program.
        results: Its results.
        metric: What scored them.
        store: Where they are kept, if anywhere.
    """
    mlflow = mlflow_in_use()
    measured = [result for result in results if result.error is None]
    if mlflow is None or not measured:
        return
    try:
        if mlflow.active_run() is None:
            return
        for points in zip(*(result.points for result in measured), strict=True):
            mlflow.log_metric("quality", fmean(point.quality for point in points), step=points[0].budget)
        mlflow.log_metric(metric.__name__, fmean(_index(metric, result) for result in measured))
        if len(results) <= PAGE_EXAMPLES:
            mlflow.log_text(_page(program, results, store), "report.html")
    except Exception as error:
        logger.warning("MLflow could not be told of this sweep: %s", error)


def _index(metric: AnytimeIndex, result: ExampleResult) -> float:
    curve = AnytimeCurve(
        tuple(point.budget for point in result.points), tuple(point.quality for point in result.points)
    )
    return curve.index(best_so_far=metric.best_so_far, axis=metric.axis)


def _page(program: Anytime, results: Sequence[ExampleResult], store: RunStore | None) -> str:
    # Not needed where nobody looks: the page's libraries take a while to load.
    from anytime_dspy.report.overview import overview
    from anytime_dspy.report.page import render_page
    from anytime_dspy.storage.runs import Run

    if store is not None:
        run = Run(store.path.name, store.fingerprint, store.created, tuple(results))
    else:
        name, lm = type(program.program).__name__, dspy.settings.lm
        run = Run(name, {"task": name, "model": getattr(lm, "model", None)}, {}, tuple(results))
    return render_page(overview([run]))
