"""The journal of a search: which trial tries what, and what came of it; several processes may share it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from anytime_dspy.checkpoint import Usage
from anytime_dspy.errors import RunError
from anytime_dspy.files import DAMAGE, SharedLines, on_disk, parsed_line, reason_of
from anytime_dspy.optimizers.locks import Busy, held
from anytime_dspy.optimizers.quiet import quiet_optuna
from anytime_dspy.optimizers.space import Candidate, Space, propose

__all__ = ["Trial", "TrialBook"]

State = Literal["complete", "pruned", "failed"]

STATES: dict[State, TrialState] = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}

P_VALUE = 0.1
"""A trial is given up once it is worse than the best one with this p-value, by Wilcoxon's signed-rank test."""

LEAST_EXAMPLES = 8
"""Of examples that both have run."""


@dataclass(frozen=True)
class Trial:
    """What came of one candidate.

    Attributes:
        number: From 0, which is the student itself.
        candidate: What was tried.
        state: "complete" if all validation examples were run, "pruned" if it was given up as worse than the best,
            "failed" if the LM failed.
        scores: The Anytime Index of each example that was run, in the order of the validation set.
        prompt_tokens: Sent for an example at the largest budget, in the mean.
        usage: What it cost.
        error: What the LM's failure was.
    """

    number: int
    candidate: Candidate
    state: State
    scores: tuple[float, ...]
    prompt_tokens: float
    usage: Usage
    error: str | None = None

    @property
    def score(self) -> float | None:
        """The mean of the scores, in [0, 1]; None where there are none."""
        return sum(self.scores) / len(self.scores) if self.scores else None


class TrialBook:
    """An Optuna study that is kept on disk, and who is at work on which trial of it.

    A trial is written down once it has ended. Whoever runs one holds a file lock, which the operating system takes back
    when its process dies: another process then runs the trial again, with the same candidate.

    Args:
        folder: Where the journal and the locks are; None keeps the study in memory, for one process.
        name: The study's, in the journal.
        space: What is searched.
        seed: Of the sampler.
    """

    def __init__(self, folder: Path | None, name: str, space: Space, seed: int) -> None:
        self.space = space
        self._seed = seed
        self._name = name
        self._folder = folder
        with self._lock("deciding"), quiet_optuna():
            self._study = self._opened() if folder else _study(name, optuna.storages.InMemoryStorage())
            self._pruner = optuna.pruners.WilcoxonPruner(p_threshold=P_VALUE, n_startup_steps=LEAST_EXAMPLES)

    @contextmanager
    def turn(self, numbers: Sequence[int]) -> Iterator[int]:
        """Yields the first of these trials that nobody else is at work on, and keeps others off it inside the block.

        Where all are being worked on it waits for the first of them, which may be done then.
        """
        with ExitStack() as stack:
            for number in numbers:
                with suppress(Busy):
                    stack.enter_context(self._lock(f"trial-{number}", wait=False))
                    break
            else:
                number = numbers[0]
                stack.enter_context(self._lock(f"trial-{number}"))
            yield number

    def candidate(self, number: int) -> Candidate | None:
        """Returns what a trial is to try; the same each time once that was decided, None where nothing is left."""
        key = f"trial {number}"
        with self._lock("deciding"):
            decided = self._study.user_attrs
            if key in decided:
                return Candidate(**decided[key])
            taken = {Candidate(**known) for known in decided.values()}
            ended = [one for one in self.trials() if one.state != "failed"]
            measured = [(one.candidate, one.score) for one in ended if one.score is not None]
            candidate = propose(self.space, measured, taken, trial=number, seed=self._seed)
            if candidate is not None:
                self._study.set_user_attr(key, asdict(candidate))
            return candidate

    def hopeless(self, scores: Sequence[float]) -> bool:
        """Whether a trial with these first scores may be given up: it is surely worse than the best complete one."""
        so_far = create_trial(state=TrialState.RUNNING, intermediate_values=dict(enumerate(scores)))
        return bool(self._pruner.prune(self._study, so_far))

    def add(self, trial: Trial) -> None:
        """Writes down a trial that has ended."""
        score = trial.score
        self._study.add_trial(
            create_trial(
                state=STATES[trial.state],
                value=score if trial.state == "complete" else None,
                params=asdict(trial.candidate),
                distributions=self.space.distributions,
                intermediate_values=dict(enumerate(trial.scores)),
                user_attrs={
                    "number": trial.number,
                    "prompt_tokens": trial.prompt_tokens,
                    "usage": asdict(trial.usage),
                    "error": trial.error,
                },
            )
        )

    def trials(self) -> list[Trial]:
        """Returns the trials that have ended, in the order of their numbers; a later success replaces a failure."""
        ended = [_read(one) for one in self._study.get_trials(deepcopy=False)]
        kept = {one.number: one for one in sorted(ended, key=lambda one: one.state != "failed")}
        return [kept[number] for number in sorted(kept)]

    def done(self) -> Collection[int]:
        """Returns the numbers of the trials that ended without a failure."""
        return {one.number for one in self.trials() if one.state != "failed"}

    def spent(self) -> Usage:
        """Returns what all trials cost, those that failed included."""
        return sum((_read(one).usage for one in self._study.get_trials(deepcopy=False)), Usage())

    def _opened(self) -> optuna.Study:
        """The study on disk, once every trial of it has been read."""
        assert self._folder is not None
        path = self._folder / "study.jsonl"
        try:
            study = _study(self._name, JournalStorage(_Journal(path)))
            for one in study.get_trials(deepcopy=False):
                _read(one)
        except (*DAMAGE, StopIteration, AssertionError, optuna.exceptions.OptunaError) as error:
            raise RunError(
                f"{path} is no journal of this search ({reason_of(error)}): restore it, or choose another folder"
            ) from error
        return study

    def _lock(self, name: str, *, wait: bool = True) -> AbstractContextManager[object]:
        return held(self._folder, f"{self._name}-{name}", wait=wait)


class _Journal(BaseJournalBackend):
    """The lines of Optuna's journal, in a file that several processes may share.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._lines = SharedLines(path, self._operation)
        self._known: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """Returns the operations from that one on."""
        with on_disk(self._lines.path), self._lines.alone():
            self._known += self._lines.news()
        return self._known[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Adds operations and waits until they are on disk."""
        with on_disk(self._lines.path), self._lines.alone():
            self._lines.append("".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs))

    def _operation(self, number: int, content: bytes) -> dict[str, Any]:
        operation = parsed_line(self._lines.path, number, content)
        if isinstance(operation, dict) and isinstance(operation.get("op_code"), int):
            return operation
        raise RunError(
            f"line {number} of {self._lines.path} is no step of a search: restore it, or choose another folder"
        )


def _study(name: str, storage: BaseStorage) -> optuna.Study:
    return optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)


def _read(trial: FrozenTrial) -> Trial:
    known = trial.user_attrs
    return Trial(
        number=known["number"],
        candidate=Candidate(**trial.params),
        state=next(name for name, state in STATES.items() if state == trial.state),
        scores=tuple(trial.intermediate_values[place] for place in sorted(trial.intermediate_values)),
        prompt_tokens=known["prompt_tokens"],
        usage=Usage(**known["usage"]),
        error=known["error"],
    )
