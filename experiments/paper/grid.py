"""The grid as a TOML file says it: models, data sets, methods and how each is run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from anytime_dspy.budgets import check_budgets
from anytime_dspy.errors import DataError
from experiments.toml_file import Strict, read_toml

__all__ = ["METHODS", "DataSet", "Grid", "Method", "Model", "read_grid"]

Method = Literal["Base", "LEAP", "PDP(+)", "PDP", "PDP, raced"]
METHODS: tuple[Method, ...] = ("Base", "LEAP", "PDP(+)", "PDP")
Count = Annotated[int, Field(ge=1)]


class Model(Strict):
    """One model.

    Attributes:
        name: As the published table calls it.
        lm: An embedded model's name, or any model that `dspy.LM` takes.
        options: Further arguments of `dspy.LM`, such as `api_base`; an embedded model takes none.
        prices: Dollars for a million prompt tokens and a million completion tokens, where litellm knows none.
        simulated: `module:function` that returns an LM of another kind, given the model's `lm`: a scripted engine that
            shows that the command works. Whatever comes of it is marked, since it says nothing about any LM.
    """

    name: str
    lm: str
    options: Mapping[str, Any] = {}
    prices: tuple[float, float] | None = None
    simulated: str | None = None


class DataSet(Strict):
    """One data set.

    Attributes:
        name: As the published table calls it.
        task: A task's name, a plug-in's, or a path.
        data: A file or url; without one the task's own source.
        split: What is measured on.
        train_split: What is learned from; the two share no example, or the grid is refused.
        train_data: The file or url of what is learned from, where it is not that of `data`.
        generated: Whether both are made by the task's generator instead.
        limit: Examples measured on, spread over the split; all by default.
        train: Examples learned from.
        budgets: In reasoning tokens.
        answer_tokens: Tokens that an answer may take; the task's own by default.
        judge: Who scores PDP's traces; see `PDP`.
    """

    name: str
    task: str
    data: str | None = None
    split: str = "test"
    train_split: str = "train"
    train_data: str | None = None
    generated: bool = False
    limit: Count | None = None
    train: Count = 16
    budgets: tuple[int, ...]
    answer_tokens: Count | None = None
    judge: str = "agreement"


class Grid(Strict):
    """All that is run.

    Attributes:
        title: Over the table.
        models: The rows.
        data: The columns.
        methods: Of each model; the paper's four by default.
        samples: Traces of a training example for PDP and PDP(+).
        leap_answers: Answers to a training example for LEAP.
        trials: Candidates of the race of "PDP, raced".
        threads: Examples run at the same time.
        seed: Of samples and intervals.
        published: Published figures in percent, by column ("final" or "index"), model, method and data set; they are
            printed beside the measured ones.
    """

    title: str
    models: tuple[Model, ...] = Field(alias="model", min_length=1)
    data: tuple[DataSet, ...] = Field(min_length=1)
    methods: tuple[Method, ...] = METHODS
    samples: Annotated[int, Field(ge=2)] = 6
    leap_answers: Count = 15
    trials: Count = 20
    threads: Count = 4
    seed: int = 0
    published: Mapping[Literal["final", "index"], Mapping[str, Mapping[str, Mapping[str, float]]]] = {}


def read_grid(path: Path) -> Grid:
    """Reads a grid.

    Raises:
        DataError: The file cannot be read, or a key is missing, misspelt or of the wrong kind.
        BudgetError: Budgets do not increase.
    """
    grid = read_toml(path, Grid, "grid", "paper.toml")
    for kind, names in (("model", [m.name for m in grid.models]), ("data set", [d.name for d in grid.data])):
        if len(set(names)) < len(names):
            raise DataError(f"{path}: two of the {kind}s have the same name: make them differ")
    for data in grid.data:
        check_budgets(data.budgets)
    return grid
