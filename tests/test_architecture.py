"""What docs/architecture.md and CONTRIBUTING.md say of the code is so."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import threading
from collections.abc import Callable
from functools import reduce
from pathlib import Path

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy.measure import sweep
from anytime_dspy.optimizers import PDP
from anytime_dspy.storage.run_folder import RunStore
from anytime_dspy.testing import chat, inputs_of, prefill_of, scripted_lm, words
from docs.drawings import DOCS, Hop, drawings, read_walk
from tests.test_import_graph import ROOT

PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    *(page.relative_to(ROOT).as_posix() for page in DOCS.rglob("*.md")),
)
METRIC = ad.AnytimeIndex(lambda example, prediction: float(str(prediction.answer) == example.answer))


def counter(request) -> str:
    """Writes `n` steps and then the number that was asked for; asked before that, it does not know it yet."""
    number = int(inputs_of(request).get("question", "1").split()[0])
    if prefill_of(request) is not None:
        return str(number) if f"is {number}" in prefill_of(request) else "unknown"
    return chat(reasoning=f"The number is {number} {words(24)}", answer=number)


def examples(count: int) -> list[dspy.Example]:
    return [dspy.Example(question=f"{n} ?", answer=str(n)).with_inputs("question") for n in range(1, count + 1)]


def student() -> ad.Anytime:
    return ad.Anytime(dspy.ChainOfThought("question -> answer"), (4, 8, 16), answer_tokens=16)


def swept(folder: Path) -> None:
    sweep(student(), examples(1), METRIC, store=RunStore.open(folder, {"task": "numbers"}))


def compiled(folder: Path) -> None:
    PDP(METRIC, judge="metric", samples=2, trials=3, rounds=1, log_dir=folder).compile(student(), trainset=examples(10))


def code_of(hop: Hop) -> object:
    path = hop.file.removesuffix(".py").replace("/", ".")
    module = importlib.import_module(path if path.startswith("anytime_dspy") else f"anytime_dspy.{path}")
    return inspect.unwrap(reduce(getattr, hop.function.split("."), module)).__code__


def heard(run: Callable[[], None], codes: list[object]) -> list[object]:
    """Returns which of these functions were called, in that order."""
    called, wanted = [], set(codes)

    def listen(frame, event, argument):
        if event == "call" and frame.f_code in wanted:
            called.append(frame.f_code)

    threading.setprofile(listen)
    sys.setprofile(listen)
    try:
        run()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return called


@pytest.mark.parametrize(("name", "run"), [("sweep", swept), ("compile", compiled)])
def test_a_walk_is_what_happens(name, run, tmp_path):
    hops = read_walk(name)
    codes = [code_of(hop) for hop in hops]
    with dspy.context(lm=scripted_lm(counter)):
        called = iter(heard(lambda: run(tmp_path / name), codes))
    for hop, code in zip(hops, codes, strict=True):
        assert code in called, f"{hop.file}: {hop.function} is not called after the hop before it"


@pytest.mark.parametrize("name", ["sweep", "compile"])
def test_a_walk_has_at_most_fifteen_files(name):
    assert len({hop.file for hop in read_walk(name)}) <= 15


def test_the_drawings_are_those_of_the_code():
    for path, svg in drawings().items():
        assert path.read_text() == svg, "draw them anew: python -m docs.drawings"


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_links_to_is_there(page):
    for link in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", (ROOT / page).read_text()):
        assert "://" in link or ((ROOT / page).parent / link).exists(), link


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_the_files_that_a_page_names_are_there(page):
    for path in re.findall(r"`([\w./]+(?:\.py|\.md|\.toml|/))`", (ROOT / page).read_text()):
        assert any((ROOT / top / path).exists() for top in (".", "anytime_dspy")), path
