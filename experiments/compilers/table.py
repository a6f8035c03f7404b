"""The tables: what each compiler is worth at the same tokens, how sure that is, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from anytime_dspy.statistics.paired import Difference, holm
from experiments.compilers.figures import Figures, figures_of, gain, runs_of
from experiments.compilers.methods import BASE, COMPILERS
from experiments.compilers.plan import Bench, Plan
from experiments.compilers.result import Results

__all__ = ["as_markdown"]

WARNING = (
    "Figures marked † come from a simulated engine: they show that the command works, and say nothing about any "
    "language model or compiler."
)
COLUMNS = (
    "Compiler",
    "n",
    "Held-out index",
    "At half",
    "Gain over Base",
    "p, Holm",
    "Gain over best peer",
    "p, Holm",
    "Compile tokens",
    "Tokens a run",
    "Optimism",
)


def as_markdown(plan: Plan, found: Results) -> str:
    """Returns the report: a table for each bench, and what is missing."""
    lines = [f"# {plan.title}", ""]
    if any(bench.model.simulated for bench in plan.benches):
        lines += [WARNING, ""]
    for bench in plan.benches:
        lines += [*_of_bench(bench, found), ""]
    missing = [
        f"- {cell}: {found[cell].error if cell in found else 'not run yet'}"
        for cell in plan.cells()
        if cell not in found or found[cell].error
    ]
    if missing:
        lines += ["## Missing", "", *missing, ""]
    return "\n".join(lines)


def _of_bench(bench: Bench, found: Results) -> Iterator[str]:
    mark = " †" if bench.model.simulated else ""
    yield f"## {bench.name}: {bench.model.name}{mark}"
    yield ""
    runs = runs_of(bench, list(found.values()))
    half = runs_of(bench, list(found.values()), 0)
    base = runs.get(BASE)
    if base is None:
        yield "Not measured yet."
        return
    figures = {name: figures_of(points, base) for name, points in runs.items()}
    peer = _best_peer(figures)
    over_base = {name: gain(base, points) for name, points in runs.items() if name != BASE}
    over_peer = (
        {name: gain(runs[peer], points) for name, points in runs.items() if peer not in (None, name)} if peer else {}
    )
    halves = {name: f"{figures_of(points, base).index.value:.3f}" for name, points in half.items() if name != BASE}
    adjusted = _adjusted([over_base, over_peer])
    yield _row(COLUMNS)
    yield _row("---" if place == 0 else "---:" for place in range(len(COLUMNS)))
    for name, of in figures.items():
        gains = [
            cell for gains, p in zip((over_base, over_peer), adjusted, strict=True) for cell in _gain(name, gains, p)
        ]
        yield _row([name + mark, f"{of.n} ({of.seeds})", _index(of), halves.get(name, ""), *gains, *_costs(of, name)])
    yield ""
    yield _caption(bench, peer)
    yield from _footnotes(figures)


def _best_peer(figures: dict[str, Figures]) -> str | None:
    """The best of DSPy's own; it is chosen by the figures that it is then compared by, which flatters it."""
    peers = [name for name in figures if name != BASE and COMPILERS[name].peer]
    return max(peers, key=lambda name: figures[name].index.value, default=None)


def _adjusted(families: Sequence[dict[str, Difference | None]]) -> list[dict[str, float]]:
    """Holm's p-values over all of a bench's comparisons together."""
    places = [(number, name, d.p) for number, family in enumerate(families) for name, d in family.items() if d]
    adjusted: list[dict[str, float]] = [{} for _ in families]
    for (number, name, _), p in zip(places, holm([p for *_, p in places]) if places else (), strict=True):
        adjusted[number][name] = p
    return adjusted


def _gain(name: str, gains: dict[str, Difference | None], adjusted: dict[str, float]) -> tuple[str, str]:
    found = gains.get(name)
    if found is None:
        return "", ""
    return f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]", f"{adjusted[name]:.3f}"


def _index(of: Figures) -> str:
    return f"{of.index.value:.3f} [{of.index.low:.3f}, {of.index.high:.3f}]"


def _costs(of: Figures, name: str) -> tuple[str, str, str]:
    optimism = "" if of.optimism is None else f"{of.optimism:+.3f}"
    return ("" if name == BASE else f"{of.tokens:,.0f}", f"{of.tokens_a_run:,.0f}", optimism)


def _caption(bench: Bench, peer: str | None) -> str:
    return (
        f"Each compiler stopped at {bench.tokens:,} LM tokens (at half: {bench.limits[0]:,}), sent and received, those "
        f"of calls that a cache answered too; {bench.train} training and {bench.validation} validation examples, "
        f"{bench.test} held-out ones a seed. Index: committed, budgets {', '.join(map(str, bench.budgets))}; n: items "
        "(seeds); in brackets 95% intervals, items resampled as a whole; p: sign flips, paired by item, adjusted for "
        "all comparisons of this table. "
        + (f"Best peer: {peer}, picked by its held-out index, which flatters it. " if peer else "")
        + "Optimism: the gain over the student that the compiler measured on the examples that it chose by, less the "
        "held-out gain."
    )


def _footnotes(figures: dict[str, Figures]) -> Iterator[str]:
    plain = [f"{name} {of.students} of {of.seeds}" for name, of in figures.items() if name != BASE and of.students]
    if plain:
        yield ""
        yield f"The program is the plain one in so many seeds: {', '.join(plain)}."


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
