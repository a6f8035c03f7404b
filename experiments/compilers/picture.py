"""The picture of a bench: the held-out index over the LM tokens that compiling took."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from anytime_dspy.errors import AnytimeError
from anytime_dspy.report.plots import COLOURS, MARKERS
from experiments.compilers.figures import figures_of, runs_of
from experiments.compilers.methods import BASE
from experiments.compilers.plan import Bench
from experiments.compilers.result import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw"]

# Half of the limit, and all of it.
PLACES = (0, -1)


def draw(bench: Bench, found: Results, path: Path) -> None:
    """Draws a line a compiler, from what it had at half of its tokens to what it had at all of them.

    A compiler that was over before both limits is one point; the plain program is a level line.

    Args:
        bench: The bench.
        found: All results; nothing is drawn where there is none of this bench.
        path: A .png file.

    Raises:
        AnytimeError: matplotlib is not installed.
    """
    at = [runs_of(bench, list(found.values()), place) for place in PLACES]
    if BASE not in at[-1]:
        return
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise AnytimeError("plots need matplotlib: pip install 'anytime-dspy[plot]'") from error
    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    axes = figure.add_subplot()
    base = at[-1][BASE]
    level = figures_of(base, base).index.value
    axes.axhline(level, color="0.4", linestyle="--", linewidth=1.3, label=f"{BASE}: {level:.3f}")
    for number, name in enumerate(name for name in at[-1] if name != BASE):
        points = [figures_of(runs[name], base) for runs in at]
        axes.plot(
            [point.tokens for point in points],
            [point.index.value for point in points],
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            linestyle="-" if number < len(COLOURS) else ":",
            label=f"{name}: {points[-1].index.value:.3f}",
        )
    _dress(axes, bench)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    figure.savefig(path, dpi=150)


def _dress(axes: Axes, bench: Bench) -> None:
    simulated = ", a SIMULATED engine" if bench.model.simulated else ""
    axes.set_title(f"{bench.name}: {bench.model.name}{simulated}", loc="left", fontweight="bold")
    axes.set_xlabel("LM tokens of the compile, mean over seeds")
    axes.set_ylabel("held-out committed Anytime Index")
    axes.set_xlim(left=0)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
