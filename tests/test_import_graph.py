"""The house: which room may import which."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOPS = {"anytime_dspy": "anytime_dspy", "anytime_dspy.optimizers": "optimizers", "anytime_dspy.programs": "programs"}


def modules() -> dict[str, Path]:
    found = {}
    for package, top in TOPS.items():
        for path in (ROOT / top).rglob("*.py"):
            parts = [package, *path.relative_to(ROOT / top).with_suffix("").parts]
            found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[str]:
    """Yields the library's modules that a file imports anywhere, within functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("anytime_dspy"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("anytime_dspy"))


def room(module: str) -> str:
    """A folder, or a module that lies in none: `runtime`, `anytime`, `optimizers.search`."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2] if parts[:1] and parts[0] in TOPS.values() else parts[:1])


def arrows() -> dict[str, set[str]]:
    # The packages' own __init__ hand out what lies below them.
    inner = {name: path for name, path in MODULES.items() if name not in TOPS}
    found = defaultdict(set)
    for module, path in inner.items():
        found[room(module)] |= {room(other) for other in imports(path) if other in inner} - {room(module)}
    return found


def test_no_two_rooms_import_each_other_not_even_by_way_of_others():
    graph, seen = arrows(), {}

    def visit(place: str, way: tuple[str, ...]) -> None:
        assert place not in way, " -> ".join((*way[way.index(place) :], place))
        if place not in seen:
            for other in sorted(graph.get(place, ())):
                visit(other, (*way, place))
            seen[place] = True

    for place in sorted(graph):
        visit(place, ())


LEVELS = {"cli": 2, "optimizers": 1, "programs": 1}


@pytest.mark.parametrize("module", sorted(set(MODULES) - {*TOPS, "anytime_dspy.__main__"}))
def test_imports_run_one_way(module):
    """The command line stands on the optimisers and the tasks, which do not know each other, and these on the core."""
    top = module.split(".")[1]
    for other in imports(MODULES[module]):
        there = other.split(".")[1] if "." in other else ""
        assert there == top or LEVELS.get(there, 0) < LEVELS.get(top, 0.5), f"{module} imports {other}"


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").rglob("*.py")), ids=lambda path: path.stem)
def test_experiments_stand_on_the_library_and_not_on_its_command_line(path):
    assert not [module for module in imports(path) if room(module) == "cli"]


INNER = "anytime_dspy._dspy"
PRIVATE = ("dspy.lm15", "dspy.adapters.", "dspy.clients.", "dspy.predict.", "dspy.primitives.")


def reaches_inside(path: Path) -> Iterator[str]:
    """Yields what a file takes of the inner modules and the private names of DSPy and litellm."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            found = [f"{alias.name}." for alias in node.names if "." in alias.name]
        elif isinstance(node, ast.Attribute):
            found = [ast.unparse(node)]
        else:
            continue
        ours = (name for name in found if name.startswith(("dspy.", "litellm.")))
        yield from (
            name
            for name in ours
            if name.startswith(PRIVATE)
            or any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
            or (isinstance(node, ast.ImportFrom) and name.startswith("litellm."))
        )


@pytest.mark.parametrize("module", sorted(set(MODULES) - {INNER}))
def test_only_one_module_reaches_inside_dspy_and_litellm(module):
    assert not sorted(set(reaches_inside(MODULES[module])))
