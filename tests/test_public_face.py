"""What `import anytime_dspy` gives and what it costs."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import anytime_dspy as ad
from anytime_dspy import optimizers

HEAVY = ("xllamacpp", "matplotlib", "optuna", "litellm", "datasets", "scipy")


def modules() -> list[str]:
    names = [module.name for module in pkgutil.walk_packages(ad.__path__, "anytime_dspy.")]
    return [name for name in names if not name.endswith("__main__")]  # importing that one runs the command line


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout


PUBLIC = """Anytime AnytimeCurve AnytimeError AnytimeIndex AnytimePrediction AtBudget Budget BudgetError Call Checkpoint
ClusterError Converged DataError ModelError ProgramError RunError RunStore Usage anytime_index budget index_difference
local_lm summarise sweep"""

OPTIMIZERS = """Agreement Checked CompileReport Confidence Judge JudgeReport LEAP LeapReport Limits PDP Pairwise
PreferencePair RaceProgress SelfConsistency Teacher pairs_dataset read_pairs"""


def test_the_public_names_are_these():
    assert sorted(ad.__all__) == PUBLIC.split()
    assert sorted(optimizers.__all__) == OPTIMIZERS.split()
    for name in optimizers.__all__:
        assert getattr(optimizers, name) is not None


def test_every_public_name_resolves():
    for name in ad.__all__:
        assert getattr(ad, name) is not None
        assert name in dir(ad)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ad.nothing


@pytest.mark.slow
def test_importing_pulls_in_nothing_heavy():
    # Also when the core's names are used: only their own work may load the heavy parts.
    code = f"import sys, anytime_dspy as ad; ad.Anytime; ad.budget; print([m for m in {HEAVY} if m in sys.modules])"
    assert run(code).strip() == "[]"


def test_importing_costs_little_more_than_importing_dspy():
    """Beside DSPy it loads no module but its own, and few of these."""
    code = "import sys, dspy; known = set(sys.modules); import anytime_dspy; print(*set(sys.modules) - known)"
    assert run(code).split() == ["anytime_dspy"]


@pytest.mark.parametrize("name", modules())
def test_doctests_hold(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
