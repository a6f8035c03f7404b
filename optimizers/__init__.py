"""Optimisers that raise a program's answers at every budget, with labels or without."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anytime_dspy.optimizers.judges.agreement import Agreement as Agreement
    from anytime_dspy.optimizers.judges.base import Judge as Judge
    from anytime_dspy.optimizers.judges.confidence import Confidence as Confidence
    from anytime_dspy.optimizers.judges.metric_judges import Checked as Checked
    from anytime_dspy.optimizers.judges.pairwise import Pairwise as Pairwise
    from anytime_dspy.optimizers.judges.pairwise import Teacher as Teacher
    from anytime_dspy.optimizers.judges.report import JudgeReport as JudgeReport
    from anytime_dspy.optimizers.leap.optimizer import LEAP as LEAP
    from anytime_dspy.optimizers.leap.optimizer import LeapReport as LeapReport
    from anytime_dspy.optimizers.pairs.export import pairs_dataset as pairs_dataset
    from anytime_dspy.optimizers.pairs.pair import PreferencePair as PreferencePair
    from anytime_dspy.optimizers.pairs.pair import read_pairs as read_pairs
    from anytime_dspy.optimizers.pdp.optimizer import PDP as PDP
    from anytime_dspy.optimizers.pdp.report import CompileReport as CompileReport
    from anytime_dspy.optimizers.search.limits import Limits as Limits
    from anytime_dspy.optimizers.search.progress import RaceProgress as RaceProgress
    from anytime_dspy.optimizers.self_consistency import SelfConsistency as SelfConsistency

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
    "RaceProgress": "search.progress",
    "SelfConsistency": "self_consistency",
    "Teacher": "judges.pairwise",
    "pairs_dataset": "pairs.export",
    "read_pairs": "pairs.pair",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
