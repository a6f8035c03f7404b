"""The saved state of an anytime program, the check that it fits the program that loads it, and a hash of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, Literal, get_args

import dspy

from anytime_dspy._dspy import Parameter
from anytime_dspy.budgets import check_answer_tokens, check_budgets
from anytime_dspy.errors import BudgetError, ProgramError
from anytime_dspy.stopping import Converged, check_stop

__all__ = ["BUDGETS_KEY", "NOT_LEARNED", "BudgetState", "Mode", "check_state", "program_hash"]

Mode = Literal["trace", "contract"]

BUDGETS_KEY = "anytime"
NOT_LEARNED = frozenset({BUDGETS_KEY, "metadata"})
"""The keys of a saved state that are no part of the program itself."""


class BudgetState(Parameter):
    """The budgets of an `Anytime`, as a parameter that DSPy saves, also in nested modules.

    It is no predictor, so that optimisers ignore it.
    """

    def __init__(self, budgets: Iterable[int], answer_tokens: int, mode: Mode, stop: Converged | None = None) -> None:
        if mode not in get_args(Mode):
            raise BudgetError(f'mode must be "trace" or "contract", not {mode!r}')
        self.budgets = check_budgets(budgets)
        self.answer_tokens = check_answer_tokens(answer_tokens)
        self.mode = mode
        self.stop = check_stop(stop)

    def reset(self) -> None:
        """Keeps the budgets: DSPy resets what was learned, and they were not."""

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Returns the budgets as JSON."""
        return {
            "budgets": list(self.budgets),
            "answer_tokens": self.answer_tokens,
            "mode": self.mode,
            "stop": asdict(self.stop) if self.stop else None,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Loads saved budgets.

        Raises:
            ProgramError: They are invalid.
        """
        self.__dict__.update(_budgets_of(state).__dict__)


def _budgets_of(state: Mapping[str, Any]) -> BudgetState:
    try:
        stop = state.get("stop")
        rule = None if stop is None else Converged(**stop)
        return BudgetState(state["budgets"], state["answer_tokens"], state.get("mode", "trace"), rule)
    except (AttributeError, KeyError, TypeError, BudgetError) as error:
        raise ProgramError(f'the saved program has no usable budgets under "{BUDGETS_KEY}": {error}') from error


def check_state(program: dspy.Module, state: Mapping[str, Any]) -> None:
    """Checks that a state was saved by the same program.

    DSPy loads a state of other fields silently, and then describes one field by another's description.

    Raises:
        ProgramError: A predictor is missing, has other fields, or is damaged.
    """
    if BUDGETS_KEY in state:
        _budgets_of(state[BUDGETS_KEY])
    predictors = [
        (name, predictor) for name, predictor in program.named_parameters() if hasattr(predictor, "signature")
    ]
    for name, predictor in predictors:
        saved = state if name == "self" and "signature" in state else state.get(name)
        if not isinstance(saved, Mapping) or not isinstance(saved.get("signature"), Mapping):
            others = sorted(key for key in state if key not in NOT_LEARNED)
            raise ProgramError(
                f'the saved program has no predictor "{name}" (it has: {", ".join(others) or "none"}): '
                "it was made by another program"
            )
        _check_fields(name, predictor.signature, saved["signature"].get("fields"))
        demos = saved.get("demos")
        if not isinstance(demos, list) or not all(isinstance(demo, Mapping | dspy.Example) for demo in demos):
            raise ProgramError(f'the saved predictor "{name}" has no list of demonstrations: was the file edited?')
        if not isinstance(saved["signature"].get("instructions"), str):
            raise ProgramError(f'the saved predictor "{name}" has no instructions: was the file edited?')


def _check_fields(name: str, signature: type[dspy.Signature], found: Any) -> None:
    wanted = signature.dump_state()["fields"]
    fields = found if isinstance(found, list) else []
    if len(fields) != len(wanted) or not all(map(_is_same, fields, wanted, signature.fields)):
        labels = [field.get("prefix") if isinstance(field, Mapping) else field for field in fields]
        raise ProgramError(
            f'the saved predictor "{name}" has the fields {labels}, this program has '
            f"{[field['prefix'] for field in wanted]}: it was made for another task"
        )


def _is_same(found: Any, wanted: Mapping[str, Any], name: str) -> bool:
    """Whether a saved field is the program's field of that name.

    DSPy does not save names. Its prefix is a label without effect, which older versions and COPRO change freely; a
    default description contains the name.
    """
    if not isinstance(found, Mapping):
        return False
    prefix, described = found.get("prefix"), found.get("description")
    if not isinstance(prefix, str) or not isinstance(described, str):
        return False
    unwritten = re.fullmatch(r"\$\{(\w+)\}", described)
    if unwritten:
        return bool(unwritten[1] == name)
    return bool(described == wanted["description"] or prefix == wanted["prefix"])


def program_hash(program: dspy.Module) -> str:
    """Returns a hash of a program's instructions, fields and demonstrations."""
    state = {name: _content(value) for name, value in program.dump_state().items() if name != BUDGETS_KEY}
    return hashlib.sha256(json.dumps(state, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _content(state: Any) -> Any:
    return {key: state[key] for key in ("signature", "demos") if key in state} if isinstance(state, dict) else state
