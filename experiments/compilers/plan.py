"""What is compared, as a TOML file says it: models on tasks, seeds, and the tokens that a compiler may use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from anytime_dspy.budgets import check_budgets
from anytime_dspy.errors import DataError
from anytime_dspy.storage.jsonl import content_hash
from experiments.compilers.methods import BASE, COMPILERS
from experiments.compilers.settings import Settings
from experiments.paper.grid import Model
from experiments.toml_file import Strict, read_toml

__all__ = ["Bench", "Cell", "Plan", "read_plan"]

Count = Annotated[int, Field(ge=1)]


class Bench(Strict):
    """One model on one task.

    Attributes:
        name: Of its folder of results.
        model: The LM; a simulated one marks every figure that comes of it.
        task: A task's name, a plug-in's, or a path.
        data: A file or url; without one the task's own source.
        split: What is measured on.
        train_split: What is learned from and validated on.
        generated: Whether all examples are made by the task's generator instead.
        train: Examples that a compiler learns from.
        validation: Examples that it chooses by.
        test: Held-out examples of each seed.
        budgets: In reasoning tokens.
        answer_tokens: Tokens that an answer may take; the task's own by default.
        tokens: LM tokens, sent and received, that a compile may use.
    """

    name: str
    model: Model
    task: str
    data: str | None = None
    split: str = "test"
    train_split: str = "train"
    generated: bool = False
    train: Count = 24
    validation: Count = 32
    test: Count = 150
    budgets: tuple[int, ...]
    answer_tokens: Count | None = None
    tokens: Annotated[int, Field(ge=2)]

    @property
    def limits(self) -> tuple[int, int]:
        """The tokens at which a compiler is stopped and its program measured: half of them, and all."""
        return (self.tokens // 2, self.tokens)


@dataclass(frozen=True)
class Cell:
    """One compiler on one bench, with one seed."""

    bench: Bench
    compiler: str
    seed: int

    @property
    def path(self) -> Path:
        """Where its result stands, and its work, below the folder of each."""
        plain = self.compiler.lower().replace("(+)", "-plus").replace(" ", "-")
        return Path(self.bench.name) / f"{plain}-seed{self.seed}"

    def __hash__(self) -> int:
        return hash(self.path)  # a bench holds options, which cannot be hashed

    def __str__(self) -> str:
        return f"{self.bench.name}, {self.compiler}, seed {self.seed}"


class Plan(Strict):
    """All that is run.

    Attributes:
        title: Over the table.
        benches: One after the other.
        seeds: Of the data and of the compilers.
        compilers: All of them by default.
        threads: Examples run at the same time.
        settings: Of the compilers.
    """

    title: str
    benches: tuple[Bench, ...] = Field(alias="bench", min_length=1)
    seeds: tuple[int, ...] = Field(min_length=1)
    compilers: tuple[str, ...] = tuple(COMPILERS)
    threads: Count = 8
    settings: Settings = Settings()

    def fingerprint(self, cell: Cell) -> str:
        """Returns a hash of all that decides a cell's figures; the number of threads is no part of it."""
        if cell.compiler == BASE:
            return content_hash([cell.bench.model_dump(exclude={"tokens"}), BASE, cell.seed])
        used = self.settings.model_dump(include={"reply_tokens", *COMPILERS[cell.compiler].uses})
        return content_hash([cell.bench.model_dump(), cell.compiler, cell.seed, used])

    def cells(self) -> Iterator[Cell]:
        """Yields every cell, in the order in which they are run: one seed of every compiler before the next seed."""
        for bench in self.benches:
            for seed in self.seeds:
                for compiler in (BASE, *self.compilers):
                    yield Cell(bench, compiler, seed)


def read_plan(path: Path) -> Plan:
    """Reads a plan.

    Raises:
        DataError: The file cannot be read, a key is missing, misspelt or of the wrong kind, or a compiler is unknown.
        BudgetError: Budgets do not increase.
    """
    plan = read_toml(path, Plan, "plan", "plan.toml")
    names = [bench.name for bench in plan.benches]
    if len(set(names)) < len(names):
        raise DataError(f"{path}: two benches have the same name: make them differ")
    unknown = [name for name in plan.compilers if name not in COMPILERS]
    if unknown:
        raise DataError(f"{path}: no compiler {unknown[0]!r}: there are {', '.join(COMPILERS)}")
    for bench in plan.benches:
        check_budgets(bench.budgets)
    return plan
