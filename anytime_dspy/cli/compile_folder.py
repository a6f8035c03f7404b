"""What `compile` left in its folder, read for a report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anytime_dspy.report.compile_view import CompileView, PairView, PredictorView, TraceView
from anytime_dspy.report.examples import Field, fields
from anytime_dspy.report.race_chart import race_chart
from anytime_dspy.report.tables import TextTable
from anytime_dspy.storage.jsonl import read_json, reading

if TYPE_CHECKING:
    from anytime_dspy.optimizers.pairs.pair import Side

__all__ = ["PROGRAM", "read_compiled"]

PROGRAM, REPORT, PAIRS = "program.json", "report.json", "pairs.jsonl"
_PLAIN = (str, int, float)
_COLUMNS = ("prompt_tokens", "reasoning_tokens", "answer_tokens", "hidden_tokens")


def read_compiled(folder: Path) -> CompileView:
    """Reads the program, the pairs and the report of a compile that ended.

    Raises:
        RunError: A file cannot be read, or holds something else.
    """
    with reading(folder / PROGRAM):
        predictors = tuple(_learned(read_json(folder / PROGRAM)))
    with reading(folder / REPORT):
        report = read_json(folder / REPORT) if (folder / REPORT).exists() else {}
        facts, grids = tuple(_facts(report)), (_cost(report), *_lists(report))
        rounds = [one.get("race") for one in report.get("rounds", ())]
        races = tuple(race_chart(race, number) for number, race in enumerate(rounds) if race)
    with reading(folder / PAIRS):
        pairs = _contrasts(folder / PAIRS) if (folder / PAIRS).exists() else ()
    return CompileView(folder.name, predictors, pairs, facts, grids, races)


def _learned(program: Mapping[str, Any]) -> Iterable[PredictorView]:
    """DSPy's own state: each predictor has a signature and demonstrations, whatever else stands beside them."""
    for name, state in program.items():
        if isinstance(state, dict) and isinstance(state.get("signature"), dict):
            yield PredictorView(
                predictor=name,
                instructions=str(state["signature"].get("instructions", "")),
                demonstrations=tuple(fields(demo) for demo in state.get("demos", ())),
            )


def _contrasts(path: Path) -> tuple[PairView, ...]:
    from anytime_dspy.optimizers.pairs.pair import read_pairs

    contrasts = (
        PairView(
            budget=pair.budget,
            inputs=fields(pair.inputs),
            judge=pair.judge,
            chosen=_reasoned(pair.chosen),
            rejected=_reasoned(pair.rejected),
            selected=pair.selected,
            squeezed=pair.squeezed,
        )
        for pair in read_pairs(path)
    )
    return tuple(sorted(contrasts, key=lambda contrast: (not contrast.selected, contrast.budget)))


def _reasoned(side: Side) -> TraceView:
    import dspy

    from anytime_dspy.answers import answer_values

    return TraceView(side.reasoning, fields(answer_values(dspy.Prediction(**side.outputs))), side.score)


def _facts(report: Mapping[str, Any]) -> Iterator[Field]:
    """Plain values, and those one level below; whatever counts tokens is in the cost."""
    for name, value in report.items():
        if isinstance(value, _PLAIN):
            yield Field(name, str(value))
        elif isinstance(value, dict) and _COLUMNS[0] not in value:
            plain = [f"{key} {below}" for key, below in value.items() if isinstance(below, _PLAIN)]
            if plain:
                yield Field(name, ", ".join(plain))


def _cost(report: Mapping[str, Any]) -> TextTable:
    records = {name: value for name, value in report.items() if isinstance(value, dict)}
    # What a part spent is the part itself, or its usage; that of `judged` is within `judging`.
    parts = {name: value.get("usage", value) for name, value in records.items() if name != "judged"}
    spent = {name: part for name, part in parts.items() if isinstance(part, dict) and _COLUMNS[0] in part}
    return TextTable(
        ("", "Prompt", "Reasoning", "Answer", "Hidden", "Calls"),
        tuple(
            (name, *(f"{usage.get(column, 0):,}" for column in (*_COLUMNS, "calls"))) for name, usage in spent.items()
        ),
        "Tokens spent compiling.",
    )


def _lists(report: Mapping[str, Any]) -> Iterator[TextTable]:
    """Every list of records, such as trials or what was known of each judge; the pairs are shown by themselves."""
    for name, value in report.items():
        records = [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
        if records and name != "selected":
            columns = tuple(dict.fromkeys(key for one in records for key in one if isinstance(one[key], _PLAIN)))
            rows = tuple(tuple(_short(one.get(column)) for column in columns) for one in records)
            yield TextTable(columns, rows, name)
            for one in records:
                yield from _lists(one)


def _short(value: Any) -> str:
    return "–" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)
