"""One call of `PDP.compile`: what all of its rounds need."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import dspy

from anytime_dspy.answers import AnswerKey, answer_text
from anytime_dspy.anytime import Anytime
from anytime_dspy.calls.call_cache import keeping_calls
from anytime_dspy.optimizers.judges.metric_judges import Checked, Gold
from anytime_dspy.optimizers.search.progress import OnTrial
from anytime_dspy.optimizers.search.trials import Validation
from anytime_dspy.optimizers.traces.sampling import OnTrace, Sampling
from anytime_dspy.optimizers.traces.squeeze import OnSqueezed
from anytime_dspy.runtime.predictors import own_lm
from anytime_dspy.storage.locks import AnyFolder

if TYPE_CHECKING:
    from anytime_dspy.optimizers.pdp.optimizer import PDP

__all__ = ["CompileJob"]


@dataclass(frozen=True)
class CompileJob:
    """The options and the data of one compile, already validated.

    Attributes:
        options: The optimiser.
        student: The program to compile.
        trainset: The examples that traces are sampled on.
        validation: The examples that candidates race on; none for the fixed recipe.
        on_trace: Called with each trace.
        on_squeezed: Called with each squeezed trace.
        on_trial: Called with the progress of a race.
        begun: When the compile began, by `time.monotonic`.
        shared: The folder or the database that the processes of this compile share; None stores nothing.
    """

    options: PDP
    student: Anytime
    trainset: Sequence[dspy.Example]
    validation: Validation
    on_trace: OnTrace | None = None
    on_squeezed: OnSqueezed | None = None
    on_trial: OnTrial | None = None
    begun: float = field(default_factory=time.monotonic)
    shared: AnyFolder | None = None

    @property
    def folder(self) -> Path | None:
        """The folder that pairs and the report are written to; None writes neither."""
        return None if self.options.log_dir is None else Path(self.options.log_dir)

    @property
    def answer_key(self) -> AnswerKey:
        """The function that makes answers comparable."""
        return self.options.answer_key or answer_text

    @property
    def rounds(self) -> int:
        """The largest number of rounds: by default 2 for a judge that measures quality, else 1."""
        judge = self.options.judge
        measures = judge in ("metric", "checked") or isinstance(judge, Checked | Gold)
        return self.options.rounds or (2 if measures else 1)

    @property
    def sampling(self) -> Sampling:
        """How the fixed recipe samples; each round of a race changes the number of samples and the styles."""
        options = self.options
        return Sampling(
            samples=options.samples, temperature=options.temperature, seed=options.seed, threads=options.threads
        )

    def writing_lm(self) -> AbstractContextManager[None]:
        """A context in which the program's own LM writes texts, where no other LM is set."""
        lm = own_lm(self.student)
        return nullcontext() if lm is None else dspy.context(lm=lm)

    def keeping_calls(self) -> AbstractContextManager[None]:
        """A context in which LM calls are stored in what is shared, and read from it.

        It sees calls of other processes that ended before it was entered.
        """
        return keeping_calls(self.shared / "calls.jsonl") if self.shared else nullcontext()
