"""The trials of a race in an Optuna study, which several processes may share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import optuna
from optuna.distributions import IntDistribution
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from anytime_dspy.checkpoint import Usage
from anytime_dspy.errors import RunError
from anytime_dspy.optimizers.search.quiet import quiet_optuna
from anytime_dspy.storage.jsonl import DAMAGE, parsed_line, reason_of, writing
from anytime_dspy.storage.locks import AnyFolder, Busy, held
from anytime_dspy.storage.shared_lines import SharedLines

if TYPE_CHECKING:
    from anytime_dspy.storage.database import DatabaseFolder

__all__ = ["Entry", "Trial", "TrialStore"]

MOST = 64
"""The largest number of a heat, which Optuna must be told; each heat doubles the examples."""


class Entry(NamedTuple):
    """One candidate in one heat: the unit of work that a process claims."""

    key: str
    heat: int


@dataclass(frozen=True)
class Trial:
    """The result of one candidate in one heat.

    Attributes:
        key: The candidate's key, by which a resumed race finds it.
        heat: The heat, from 0.
        kind: A short description of the candidate.
        scores: The Anytime Index of each example that ran, by the example's position in the race.
        prompt_tokens: Mean prompt tokens per example at the largest budget.
        usage: The cost.
        error: The LM's error; None if all examples ran.
    """

    key: str
    heat: int
    kind: str
    scores: dict[int, float]
    prompt_tokens: float
    usage: Usage
    error: str | None = None


class TrialStore:
    """An Optuna study with one trial for each candidate and heat, and locks on the trials that are running.

    A trial is stored once it has ended. The process that runs it holds a file lock, which the operating system releases
    if the process dies, or a database lease, which expires; another process then runs the trial again.

    Args:
        folder: The folder of the journal and the locks, or a database with Optuna's tables; None keeps the study in
            memory, for one process.
        name: The name of the study; in a database it is prefixed with "anytime-dspy".

    Raises:
        RunError: The journal or the database is damaged, of another version, or cannot be written.
    """

    def __init__(self, folder: AnyFolder | None, name: str) -> None:
        self._name = name
        self._folder = folder
        with self._lock("opening"), quiet_optuna():
            if folder is None:
                self._study = _study(name, optuna.storages.InMemoryStorage())
            elif isinstance(folder, Path):
                self._study = self._in_journal(folder / "study.jsonl")
            else:
                self._study = self._in_database(folder)

    @contextmanager
    def claim(self, entries: Sequence[Entry], most: int) -> Iterator[list[Entry]]:
        """Yields some of these entries that no other process is running, and holds their locks inside the block.

        If all of them are running elsewhere, it waits for the first one, which may be done by then.

        Args:
            entries: The entries to choose from, at least one.
            most: The largest number of entries to claim.
        """
        with ExitStack() as stack:
            taken: list[Entry] = []
            for entry in entries:
                if len(taken) == most:
                    break
                with suppress(Busy):
                    stack.enter_context(self._lock(f"trial-{entry.key}-{entry.heat}", wait=False))
                    taken.append(entry)
            if not taken:
                taken.append(entries[0])
                stack.enter_context(self._lock(f"trial-{entries[0].key}-{entries[0].heat}"))
            yield taken

    def add(self, trial: Trial) -> None:
        """Stores a trial that has ended."""
        scores = {str(place): score for place, score in trial.scores.items()}
        state = TrialState.FAIL if trial.error else TrialState.COMPLETE if scores else TrialState.PRUNED
        known = {**asdict(trial), "scores": scores}
        # A database adds a trial in one transaction.
        alone = self._lock("adding") if isinstance(self._folder, Path) else nullcontext()
        with alone, quiet_optuna(), self._reached():
            self._study.add_trial(
                create_trial(
                    state=state,
                    value=sum(scores.values()) / len(scores) if state == TrialState.COMPLETE else None,
                    params={"heat": trial.heat},
                    distributions={"heat": IntDistribution(0, MOST)},
                    intermediate_values=dict(trial.scores),
                    user_attrs=known,
                )
            )

    def trials(self) -> dict[Entry, Trial]:
        """Returns the trials that have ended: of each entry the first success, or else a failure."""
        in_order = sorted(self._ended(), key=lambda one: one.error is not None)
        return {Entry(one.key, one.heat): one for one in reversed(in_order)}

    def spent(self) -> Usage:
        """Returns the cost of all trials, failed ones included."""
        return sum((one.usage for one in self._ended()), Usage())

    def _ended(self) -> list[Trial]:
        with self._reached():
            return [_read(one) for one in self._study.get_trials(deepcopy=False)]

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turns Optuna's database errors into a `RunError`."""
        try:
            yield
        except optuna.exceptions.StorageInternalError as error:
            if self._folder is None or isinstance(self._folder, Path):
                raise
            raise self._folder.refusal(error.__cause__ or error) from error

    def _in_database(self, folder: DatabaseFolder) -> optuna.Study:
        """Opens the study in a database, and checks that it can be written and that every trial can be read."""
        from sqlalchemy.exc import SQLAlchemyError

        url = folder.url.render_as_string(hide_password=False)
        try:
            with self._reached():
                study = _study(
                    f"anytime-dspy {self._name}", RDBStorage(url, engine_kwargs={"pool": folder.engine.pool})
                )
                study.set_user_attr("version", version("anytime-dspy"))
                for one in study.get_trials(deepcopy=False):
                    _read(one)
        except RuntimeError as error:  # Optuna's own, of its tables
            raise RunError(
                f"Optuna's tables in {folder} are of another version ({reason_of(error)}): upgrade them, or choose "
                "another database"
            ) from error
        except (*DAMAGE, AssertionError, optuna.exceptions.OptunaError) as error:
            raise RunError(
                f"the trials in {folder} are none of this search ({reason_of(error)}): choose another database"
            ) from error
        except SQLAlchemyError as error:
            raise folder.refusal(error) from error
        return study

    def _in_journal(self, path: Path) -> optuna.Study:
        """Opens the study on disk, and checks that every trial can be read."""
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
    """Optuna's journal in a file that several processes may share."""

    def __init__(self, path: Path) -> None:
        self._lines = SharedLines(path, self._operation)
        self._known: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> list[dict[str, Any]]:
        """Returns the operations from this number on."""
        with writing(self._lines.path), self._lines.exclusive():
            self._known += self._lines.new_lines()
        return self._known[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Appends operations and waits until they are on disk."""
        with writing(self._lines.path), self._lines.exclusive():
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
    scores = {int(place): float(score) for place, score in known["scores"].items()}
    return Trial(**{**known, "scores": scores, "usage": Usage(**known["usage"])})
