"""Any DSPy program, the best answer it can give at any token budget: measured, and compiled for it.

>>> import anytime_dspy as ad
>>> ad.anytime_index([0.0, 0.5, 1.0], budgets=[64, 128, 256])
0.5833333333333333
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anytime_dspy.anytime import Anytime, AnytimePrediction, AtBudget
    from anytime_dspy.budgets import Budget
    from anytime_dspy.checkpoint import Call, Checkpoint, Usage
    from anytime_dspy.curve import AnytimeCurve
    from anytime_dspy.errors import (
        AnytimeError,
        BudgetError,
        ClusterError,
        DataError,
        ModelError,
        ProgramError,
        RunError,
    )
    from anytime_dspy.local import local_lm
    from anytime_dspy.measure import sweep
    from anytime_dspy.metric import AnytimeIndex, anytime_index
    from anytime_dspy.runtime.context import budget
    from anytime_dspy.statistics.summary import index_difference, summarise
    from anytime_dspy.stopping import Converged
    from anytime_dspy.storage.run_folder import RunStore

# Loaded when first used, so that importing the package costs hardly more than importing DSPy.
_MODULES = {
    "anytime": ("Anytime", "AnytimePrediction", "AtBudget"),
    "budgets": ("Budget",),
    "checkpoint": ("Call", "Checkpoint", "Usage"),
    "curve": ("AnytimeCurve",),
    "errors": ("AnytimeError", "BudgetError", "ClusterError", "DataError", "ModelError", "ProgramError", "RunError"),
    "local": ("local_lm",),
    "measure": ("sweep",),
    "metric": ("AnytimeIndex", "anytime_index"),
    "runtime.context": ("budget",),
    "statistics.summary": ("index_difference", "summarise"),
    "stopping": ("Converged",),
    "storage.run_folder": ("RunStore",),
}

__version__ = "0.2.0"
__all__ = [
    "Anytime",
    "AnytimeCurve",
    "AnytimeError",
    "AnytimeIndex",
    "AnytimePrediction",
    "AtBudget",
    "Budget",
    "BudgetError",
    "Call",
    "Checkpoint",
    "ClusterError",
    "Converged",
    "DataError",
    "ModelError",
    "ProgramError",
    "RunError",
    "RunStore",
    "Usage",
    "anytime_index",
    "budget",
    "index_difference",
    "local_lm",
    "summarise",
    "sweep",
]


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            value = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
