"""The documentation says what is so: its code runs, its commands are understood, the tests that it names are there."""

from __future__ import annotations

import ast
import builtins
import gc
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest
import typer
from dspy.utils.exceptions import AdapterParseError

import anytime_dspy as ad
from anytime_dspy import optimizers
from anytime_dspy.cli import compare, compile, demo, merge, models, pairs, report, run, sweep
from anytime_dspy.local import MODELS
from anytime_dspy.testing import chat, is_forced, scripted_lm, words
from tests.fakes.clerk import clerk, served
from tests.fakes.http_server import ChatServer
from tests.pages import ROOT, Block, blocks, commands, pages, text_of

pytestmark = [
    pytest.mark.usefixtures("litellm_loop"),
    pytest.mark.filterwarnings("ignore:.*ReadOnly.*:UserWarning"),  # pydantic says this of a type of litellm's
    # A command's LM is closed by the end of its process.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"),
]

HOWTO = [page for page in pages() if page.startswith("docs/howto/")]

# Blocks that need what a test of its own has: MLflow, a cluster, a provider that takes its time.
ELSEWHERE = {
    "mlflow": "tests/test_mlflow.py",
    "RayExecutor": "tests/test_ray.py",
    "sweep_batch": "tests/batch/test_jobs.py",
    "postgresql://": "tests/optimizers/test_hosts.py",
}

# What a page takes as given.
GIVEN = """
import dspy
import anytime_dspy as ad
from anytime_dspy.measure import sweep
anytime = ad.Anytime(dspy.ChainOfThought("ticket -> topic"), budgets=(4, 8, 24), answer_tokens=24)
quality = lambda example, prediction: float(example.topic in str(prediction.topic))
metric = ad.AnytimeIndex(quality, best_so_far=False)
said = {"I was charged twice": "billing", "My parcel is late": "delivery", "I forgot my password": "account"}
examples = trainset = [
    dspy.Example(ticket=f"{text}, order {number}.", topic=topic).with_inputs("ticket")
    for number in range(3)
    for text, topic in said.items()
]
lm = dspy.LM("openai/gpt-4.1-mini", temperature=0.0)
"""
SELF_CONTAINED = {"README.md", "docs/index.md", "docs/anytime_index.md", "docs/testing.md", "docs/models.md", *HOWTO}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder, a provider at a server on loopback, and an embedded model that is scripted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ad, "local_lm", lambda name, slots=1, context=1, **options: scripted_lm(clerk, **options))
    monkeypatch.setattr(sys.modules["anytime_dspy.local.pull"], "pull", lambda name: tmp_path / name)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with ChatServer(served) as server:
        monkeypatch.setenv("OPENAI_API_BASE", server.url)
        yield tmp_path
    for made in gc.get_objects():  # so is a page's
        if type(made) is dspy.LM:
            made.close()
    gc.collect()


def command_line() -> typer.Typer:
    app = typer.Typer(add_completion=False)
    for verb in (demo.demo, sweep.sweep, merge.merge, compare.compare, report.report, run.run):
        app.command()(verb)
    app.command(name="compile")(compile.compile_task)
    app.add_typer(models.app, name="models")
    app.add_typer(pairs.app, name="pairs")
    return app


def work_through(page: str) -> dict[str, Any]:
    """Runs a page from top to bottom, as a reader would."""
    space: dict[str, Any] = {"__name__": "page"}
    if page not in SELF_CONTAINED:
        exec(GIVEN, space)
    for block in blocks(page):
        if block.title:
            Path(block.title).write_text(block.code)
        if block.language == "python" and not any(sign in block.code for sign in ELSEWHERE):
            run_python(page, block, space)
        elif block.language == "sh" and page in HOWTO:
            for arguments in commands(block.code):
                typer.main.get_command(command_line()).main(arguments, standalone_mode=False)
    return space


def run_python(page: str, block: Block, space: dict[str, Any]) -> None:
    code = ast.parse(block.code)
    ast.increment_lineno(code, block.line)  # so that a traceback names the line of the page
    exec(builtins.compile(code, str(ROOT / page), "exec"), space)


WITH_CODE = [page for page in pages() if any(block.language == "python" for block in blocks(page))]


@pytest.mark.parametrize("page", WITH_CODE)
@pytest.mark.slow
def test_the_code_of_a_page_runs(page, here):
    space = work_through(page)
    for name, value in space.items():
        if name.startswith("test_"):
            value()


def test_code_that_is_run_elsewhere_is_run_there():
    for sign, test in ELSEWHERE.items():
        assert any(sign in block.code for page in WITH_CODE for block in blocks(page)), sign
        assert (ROOT / test).is_file()


@pytest.mark.parametrize("page", [page for page in pages() if "```sh" in text_of(page)])
def test_the_commands_of_a_page_are_understood(page):
    """By the command line's own parser; how-to pages run them, too."""
    for block in blocks(page):
        for arguments in commands(block.code) if block.language == "sh" else ():
            verb = typer.main.get_command(command_line())
            while arguments and arguments[0] in getattr(verb, "commands", {}):
                verb, arguments = verb.commands[arguments[0]], arguments[1:]
            verb.make_context("anytime-dspy", [*arguments], resilient_parsing="--help" in arguments)


@pytest.mark.parametrize("page", pages())
def test_what_a_page_tells_to_install_can_be_installed(page):
    """From a clone: the library is on no package index."""
    offered = re.findall(r"^(\w+) = \[", text_of("pyproject.toml").split("[project.optional-dependencies]")[1], re.M)
    for wanted in re.findall(r"pip install[^\n]*", text_of(page)):
        assert not re.search(r"install[^#`]*anytime-dspy", wanted), wanted
        for extras in re.findall(r"\.\[([\w,]+)\]", wanted):
            assert set(extras.split(",")) <= set(offered), wanted


@pytest.mark.parametrize("page", pages())
def test_the_tests_that_a_page_names_are_there(page):
    for named in re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", text_of(page)):
        path, _, function = named.partition("::")
        assert (ROOT / path).is_file(), named
        assert not function or f"def {function}(" in text_of(path), named


def test_every_page_of_the_method_names_its_tests():
    nav = text_of("mkdocs.yml").split("  - Method:")[1].split("  - Reference:")[0]
    measured = {"performance.md": "experiments/bench"}  # seconds are measured, and not tested
    for page in re.findall(r"[\w/]+\.md", nav):
        assert measured.get(page, "tests/") in text_of(f"docs/{page}"), page


def test_every_public_name_is_in_the_reference():
    told = "".join(text_of(page) for page in pages() if page.startswith("docs/reference/"))
    described = {name.rpartition(".")[2] for name in re.findall(r"^::: ([\w.]+)$", told, re.M)}
    assert {*ad.__all__, *optimizers.__all__} <= described


def test_the_models_are_those_of_the_code():
    page = text_of("docs/models.md")
    for model in MODELS.values():
        assert f"| `{model.name}` | `{model.file}` | {model.bytes:,} | {model.licence} |" in page
        assert f"| `{model.name}` | `{model.sha256}` |" in page
        assert model.hub is None or model.hub.repo in page
        first, last = model.chunks[0], model.chunks[-1]
        assert f"`{first.distribution}`" in page
        assert first.version in page
        assert len(model.chunks) == 1 or f"`{last.distribution.rsplit('part')[-1]}`" in page


def test_max_tokens_alone_gives_no_answer_where_a_budget_does():
    """A row of the README's table: a cap on the whole reply cuts what comes last, and that is the answer."""
    program = dspy.ChainOfThought("question -> answer")

    def reply(request):
        return "guess" if is_forced(request) else chat(reasoning=words(40), answer="sure")

    with dspy.context(lm=scripted_lm(reply, max_tokens=24)), pytest.raises(AdapterParseError):
        program(question="?")
    with dspy.context(lm=scripted_lm(reply)), ad.budget(16, answer_tokens=8):
        assert program(question="?").answer == "guess"
