"""Optimisers that raise a program's answers at every budget, with labels or without."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anytime_dspy.optimizers.judges.agreement import Agreement
    from anytime_dspy.optimizers.judges.base import Judge
    from anytime_dspy.optimizers.judges.confidence import Confidence
    from anytime_dspy.optimizers.judges.metric_judges import Checked
    from anytime_dspy.optimizers.judges.pairwise import Pairwise, Teacher
    from anytime_dspy.optimizers.judges.report import JudgeReport
    from anytime_dspy.optimizers.leap.optimizer import LEAP, LeapReport
    from anytime_dspy.optimizers.pairs.export import pairs_dataset
    from anytime_dspy.optimizers.pairs.pair import PreferencePair, read_pairs
    from anytime_dspy.optimizers.pdp.optimizer import PDP
    from anytime_dspy.optimizers.pdp.report import CompileReport
    from anytime_dspy.optimizers.search.limits import Limits, Progress
    from anytime_dspy.optimizers.self_consistency import SelfConsistency

# Loaded when first used: DSPy's own teleprompters, which PDP is one of, are slow to import.
_HOMES = {
    "Agreement": "judges.agreement",
    "Checked": "judges.metric_judges",
    "CompileReport": "pdp.report",
    "Confidence": "judges.confidence",
    "Judge": "judges.base",
    "LEAP": "leap.optimizer",
    "LeapReport": "leap.optimizer",
    "JudgeReport": "judges.report",
    "Limits": "search.limits",
    "PDP": "pdp.optimizer",
    "Pairwise": "judges.pairwise",
    "PreferencePair": "pairs.pair",
    "Progress": "search.limits",
    "SelfConsistency": "self_consistency",
    "Teacher": "judges.pairwise",
    "pairs_dataset": "pairs.export",
    "read_pairs": "pairs.pair",
}

__all__ = [
    "Agreement",
    "Checked",
    "CompileReport",
    "Confidence",
    "Judge",
    "LEAP",
    "LeapReport",
    "JudgeReport",
    "Limits",
    "PDP",
    "Pairwise",
    "PreferencePair",
    "Progress",
    "SelfConsistency",
    "Teacher",
    "pairs_dataset",
    "read_pairs",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
