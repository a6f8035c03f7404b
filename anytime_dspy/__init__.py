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
    from anytime_dspy.metric import AnytimeIndex, anytime_index
    from anytime_dspy.runtime.context import budget
    from anytime_dspy.stopping import Converged

# Loaded when first used, so that importing the package costs hardly more than importing DSPy.
_HOMES = {
    "Anytime": "anytime",
    "AnytimeCurve": "curve",
    "AnytimeError": "errors",
    "AnytimeIndex": "metric",
    "AnytimePrediction": "anytime",
    "AtBudget": "anytime",
    "Budget": "budgets",
    "BudgetError": "errors",
    "Call": "checkpoint",
    "Checkpoint": "checkpoint",
    "ClusterError": "errors",
    "Converged": "stopping",
    "DataError": "errors",
    "ModelError": "errors",
    "ProgramError": "errors",
    "RunError": "errors",
    "Usage": "checkpoint",
    "anytime_index": "metric",
    "budget": "runtime.context",
    "local_lm": "local",
}

__version__ = "0.1.0"
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
    "Usage",
    "anytime_index",
    "budget",
    "local_lm",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'anytime_dspy' has no attribute '{name}'")
    value = getattr(import_module(f"anytime_dspy.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
