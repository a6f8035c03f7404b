"""MLflow's active run, where a process uses MLflow; it is never imported here."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

__all__ = ["active_run_id", "joined_run", "mlflow_in_use", "outer_run"]

logger = logging.getLogger(__name__)

outer_run: ContextVar[str | None] = ContextVar("anytime_mlflow_run", default=None)
"""The id of the run that was active where this thread was begun."""


def mlflow_in_use() -> Any:
    """Returns MLflow's module where this process has imported it; None else, or where it only has MLflow's tracing."""
    mlflow = sys.modules.get("mlflow")
    return mlflow if hasattr(mlflow, "active_run") else None


def active_run_id() -> str | None:
    """Returns the id of the run that is active in this thread, or was where this thread was begun."""
    mlflow = mlflow_in_use()
    run = mlflow.active_run() if mlflow else None
    return str(run.info.run_id) if run else outer_run.get()


@contextmanager
def joined_run() -> Iterator[None]:
    """Makes the run that was active where this thread was begun active here too.

    MLflow keeps its active run by thread. Without this a trial that runs in a thread of its own would start a run
    beside that of its compile, not inside it.
    """
    mlflow = mlflow_in_use()
    joins = mlflow is not None and outer_run.get() is not None and mlflow.active_run() is None and _join(mlflow)
    try:
        yield
    finally:
        if joins:
            _leave(mlflow)


# A dashboard that cannot be reached must not end what was paid for.
def _join(mlflow: Any) -> bool:
    try:
        mlflow.start_run(run_id=outer_run.get(), log_system_metrics=False)
    except Exception as error:
        logger.warning("MLflow will not show this as a part of the run around it: %s", error)
        return False
    return True


def _leave(mlflow: Any) -> None:
    try:
        mlflow.end_run(status="RUNNING")  # the thread that started the run ends it
    except Exception as error:
        logger.warning("MLflow could not be told of an end: %s", error)
