"""Tests stand on public names alone, so that what is behind these can change."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
OWN = {"self", "cls"}
OFFERED = {"os._exit"}  # by Python, whatever its name
GUARDED = {"anytime_dspy._dspy"}  # named by test_import_graph, which lets no other module through
PATCHED = re.compile(r"(anytime_dspy|dspy|litellm|optimizers|programs|experiments)(\.\w+)*\._[a-z]\w*")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_"


def private_names(code: str) -> Iterator[str]:
    """Yields what code takes from others and what they do not offer: attributes, imports, names to be patched."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in OWN):
                yield from {ast.unparse(node)} - OFFERED
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if is_private(alias.name))
            yield from filter(is_private, (node.module or "").split("."))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and PATCHED.fullmatch(node.value):
            yield from {node.value} - GUARDED


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_test_uses_a_private_name(path):
    assert not list(private_names(path.read_text()))


def test_private_names_are_found():
    code = "from dspy.a._b import _c\nx._d\nself._e\n'dspy.a." + "_f'\n"
    assert list(private_names(code)) == ["_c", "_b", "x._d", "dspy.a." + "_f"]
