"""What a saved program holds, and whether it fits the program that is to take it over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import dspy
from dspy.predict.parameter import Parameter

from anytime_dspy.budgeting import check_answer_tokens
from anytime_dspy.budgets import check_budgets
from anytime_dspy.errors import BudgetError, ProgramError

__all__ = ["BUDGETS_KEY", "BudgetState", "check_state"]

BUDGETS_KEY = "anytime"


class BudgetState(Parameter):
    """The budgets of an `Anytime`, in a form that DSPy saves also when the module is nested in another one.

    It is no predictor, so optimisers pass it by.
    """

    def __init__(self, budgets: Iterable[int], answer_tokens: int, mode: str) -> None:
        self.budgets = check_budgets(tuple(budgets))
        self.answer_tokens = check_answer_tokens(answer_tokens)
        self.mode = mode

    def reset(self) -> None:
        """Keeps the budgets: DSPy resets what was learned, and these were given."""

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Returns the budgets as JSON."""
        return {"budgets": list(self.budgets), "answer_tokens": self.answer_tokens, "mode": self.mode}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes over saved budgets.

        Raises:
            ProgramError: They are no usable budgets.
        """
        try:
            loaded = BudgetState(state["budgets"], state["answer_tokens"], state.get("mode", "trace"))
        except (AttributeError, KeyError, TypeError, BudgetError) as error:
            raise ProgramError(f'The saved program has no usable budgets under "{BUDGETS_KEY}": {error}') from error
        self.__dict__.update(loaded.__dict__)


def check_state(program: dspy.Module, state: Mapping[str, Any]) -> None:
    """Refuses a state that was saved by another program.

    DSPy itself loads a state of other fields without a word, and then describes one field by another's description.

    Raises:
        ProgramError: A predictor is missing, or has other fields.
    """
    predictors = [
        (name, predictor) for name, predictor in program.named_parameters() if hasattr(predictor, "signature")
    ]
    for name, predictor in predictors:
        saved = state if name == "self" and "signature" in state else state.get(name)
        if not isinstance(saved, Mapping) or not isinstance(saved.get("signature"), Mapping):
            others = sorted(key for key in state if key not in ("metadata", BUDGETS_KEY))
            raise ProgramError(
                f'The saved program has no predictor "{name}" (it has: {", ".join(others) or "none"}): '
                "it was made by another program."
            )
        wanted = [field["prefix"] for field in predictor.signature.dump_state()["fields"]]
        found = [field.get("prefix") for field in saved["signature"].get("fields", ()) if isinstance(field, Mapping)]
        if wanted != found:
            raise ProgramError(
                f'The saved predictor "{name}" has the fields {found}, this program has {wanted}: '
                "it was made for another task."
            )
        if not isinstance(saved.get("demos"), list):
            raise ProgramError(f'The saved predictor "{name}" has no list of demonstrations: was the file edited?')
