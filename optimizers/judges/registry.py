"""The judges by name: the values of PDP's `judge=`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import dspy

from anytime_dspy.answers import AnswerKey, answer_text
from anytime_dspy.errors import AnytimeError
from anytime_dspy.metric import AnytimeIndex
from anytime_dspy.optimizers.judges.agreement import Agreement
from anytime_dspy.optimizers.judges.answer_cache import AnswerCache
from anytime_dspy.optimizers.judges.base import Judge
from anytime_dspy.optimizers.judges.confidence import Confidence
from anytime_dspy.optimizers.judges.metric_judges import Checked, Gold
from anytime_dspy.optimizers.judges.pairwise import Pairwise
from anytime_dspy.optimizers.judges.verdicts import check_module

__all__ = ["JUDGES", "Panel", "check_judge"]

JUDGES = ("auto", "agreement", "pairwise", "confidence", "checked", "metric")
"""The names of judges. "auto" takes the most reliable of agreement, pairwise and confidence, which need neither labels
nor a check; among equals the first in this order."""


def check_judge(judge: Any) -> None:
    """Checks, without an LM call, that a value can be a judge.

    Args:
        judge: A name in `JUDGES`, a `Judge`, or a DSPy module that returns verdicts.

    Raises:
        AnytimeError: It is none of these.
        ProgramError: The module has another signature.
    """
    if isinstance(judge, dspy.Module):
        check_module(judge)
    elif isinstance(judge, str) and judge not in JUDGES:
        raise AnytimeError(f"there is no judge {judge!r}: choose {', '.join(JUDGES)}, a Judge or a DSPy module")
    elif not isinstance(judge, str) and not (hasattr(judge, "scores") and hasattr(judge, "reliability")):
        raise AnytimeError(
            f"a judge is one of {', '.join(JUDGES)}, a Judge or a DSPy module, not {type(judge).__name__}"
        )


@dataclass(frozen=True)
class Panel:
    """Creates the judges of a compile.

    Attributes:
        metric: The metric, for "checked" and "metric".
        trainset: The examples, for "metric".
        answer_key: Decides which answers are the same.
        threads: The number of concurrent requests.
        seed: The seed that picks the pairs that reliability is measured on.
        memo: The cache of judge answers.
        lm: The LM of judges that name none; by default that of the surrounding `dspy.context`.
    """

    metric: AnytimeIndex
    trainset: Sequence[dspy.Example]
    answer_key: AnswerKey = answer_text
    threads: int = 1
    seed: int = 0
    memo: AnswerCache = field(default_factory=AnswerCache)
    lm: Any = None

    def judges(self, judge: str | Judge | dspy.Module) -> tuple[Judge, ...]:
        """Returns the judges to choose from: several for "auto", else one.

        Args:
            judge: A value that `check_judge` accepts. The user's own `Pairwise`, `Teacher` or `Confidence` gets this
                cache, and this LM if it names none.
        """
        if isinstance(judge, dspy.Module):
            return (self._pairwise(judge),)
        if not isinstance(judge, str):
            if isinstance(judge, (Pairwise, Confidence)):
                judge = replace(judge, lm=judge.lm or self.lm, memo=self.memo)
            return (judge,)
        named: dict[str, Judge] = {
            "agreement": Agreement(self.answer_key),
            "pairwise": self._pairwise(),
            "confidence": Confidence(
                self.lm, answer_key=self.answer_key, threads=self.threads, seed=self.seed, memo=self.memo
            ),
            "checked": Checked(self.metric),
            "metric": Gold(self.metric, self.trainset),
        }
        if judge == "auto":
            return named["agreement"], named["pairwise"], named["confidence"]
        return (named[judge],)

    def _pairwise(self, module: dspy.Module | None = None) -> Pairwise:
        return Pairwise(
            self.lm, module=module, answer_key=self.answer_key, threads=self.threads, seed=self.seed, memo=self.memo
        )
