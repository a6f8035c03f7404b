"""Optimisers that raise a program's answers at every budget, with labels or without."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anytime_dspy.optimizers.agreement import Agreement
    from anytime_dspy.optimizers.checked import Checked
    from anytime_dspy.optimizers.confidence import Confidence
    from anytime_dspy.optimizers.export import pairs_dataset
    from anytime_dspy.optimizers.judge_report import JudgeReport
    from anytime_dspy.optimizers.judges import Judge
    from anytime_dspy.optimizers.leap import LEAP, LeapReport
    from anytime_dspy.optimizers.pairs import PreferencePair, read_pairs
    from anytime_dspy.optimizers.pairwise import Pairwise, Teacher
    from anytime_dspy.optimizers.pdp import PDP
    from anytime_dspy.optimizers.report import CompileReport
    from anytime_dspy.optimizers.search.limits import Limits, Progress
    from anytime_dspy.optimizers.self_consistency import SelfConsistency

# Loaded when first used: DSPy's own teleprompters, which PDP is one of, are slow to import.
_HOMES = {
    "Agreement": "agreement",
    "Checked": "checked",
    "CompileReport": "report",
    "Confidence": "confidence",
    "Judge": "judges",
    "LEAP": "leap",
    "LeapReport": "leap",
    "JudgeReport": "judge_report",
    "Limits": "search.limits",
    "PDP": "pdp",
    "Pairwise": "pairwise",
    "PreferencePair": "pairs",
    "Progress": "search.limits",
    "SelfConsistency": "self_consistency",
    "Teacher": "pairwise",
    "pairs_dataset": "export",
    "read_pairs": "pairs",
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
