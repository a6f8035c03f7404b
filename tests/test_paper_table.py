"""The paper's grid as a command, end to end on a simulated engine; no figure here is one of a language model."""

from __future__ import annotations

import functools
import itertools
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dspy
import pytest
import typer
from click.testing import Result
from dspy.lm15 import Request
from typer.testing import CliRunner

import anytime_dspy as ad
from anytime_dspy.errors import AnytimeError, DataError
from anytime_dspy.testing import ScriptedEngine, asked_for, chat, demos_of, inputs_of, prefill_of, system_of
from experiments import paper_table
from experiments.paper.cells import examples_of, open_model
from experiments.paper.estimate import Pace, cost_of
from experiments.paper.grid import DataSet, read_grid
from experiments.paper.simulated import Clock, compared, simulated_grid

PAPER, SMALL = (Path(paper_table.__file__).parent / name for name in ("paper.toml", "small.toml"))

# What was asked of simulated engines, and after how many calls the one of a name dies.
CALLS: list[Request] = []
DIES_AFTER: dict[str, int] = {}

GRID = """
title = "A simulated grid"
samples = 4
leap_answers = 2
threads = 1

[[model]]
name = "Simulated"
lm = "any"
simulated = "tests.test_paper_table:simulated_lm"

[[data]]
name = "words"
task = "word_problems"
generated = true
limit = 10
train = 4
budgets = [4, 8, 16, 32]

[published.final.Simulated]
PDP = { words = 99.5 }
"""

# Words of thought before a conclusion of four, by what the prompt holds: each method is right from another budget on.
NEEDS = {"Base": 24, "LEAP": 11, "PDP(+)": 4, "PDP": 0}
LESSON, LESSONS = "Count before you talk.", "Count first, and talk later."
CONCLUSION = "so it is"

# What an optimiser may ask the engine to write, by the name of the field; in order, it says A of any two answers.
WRITES = {
    "principle": LESSON,
    "principles": f"- {LESSONS}",
    "rules": "Say less.",
    "sentences": "- Hurry.",
    "better": "A",
}


def simulated_lm(name: str) -> dspy.LM:
    """An LM that knows every answer, and reaches it sooner the more its prompt teaches."""
    answers = known_answers()
    # Of its samples, some are slow and some never get there.
    lengths = itertools.cycle((4, 10, 20, 30))

    def reply(request: Request) -> str:
        if len(CALLS) == DIES_AFTER.get(name):
            raise dspy.lm15.InvalidRequestError("the simulated engine died")
        CALLS.append(request)
        wanted = asked_for(request)
        if len(wanted) == 1:
            return chat(**{wanted[0]: WRITES[wanted[0]]})
        answer = answers[inputs_of(request)["problem"]]
        begun = prefill_of(request)
        if begun is not None:
            return answer if f"{CONCLUSION} {answer}." in begun else "none"
        words = next(lengths) if is_sampled(request) else NEEDS[method_of(request)]
        if words == 30:
            answer = "none"
        return chat(reasoning=" ".join([*(f"w{i}" for i in range(words)), f"{CONCLUSION} {answer}."]), answer=answer)

    return dspy.LM(f"simulated/{name}", engine=ScriptedEngine(reply), cache=False, temperature=0.0)


def is_sampled(request: Request) -> bool:
    return bool(request.config.temperature)


def method_of(request: Request) -> str:
    """Whose prompt it is, by the engine's own words in it: what it had learned, or how it had reasoned."""
    if LESSONS in system_of(request):
        return "LEAP"
    if CONCLUSION in system_of(request):
        return "PDP"
    return "PDP(+)" if demos_of(request) else "Base"


@functools.cache
def known_answers() -> dict[str, str]:
    data = DataSet(name="words", task="word_problems", generated=True, train=16, budgets=(4, 8))
    examples = examples_of(data, 0, learning=True, show_texts=False)
    return {example.problem: example.answer for example in (*examples.test, *examples.train)}


@pytest.fixture
def grid_file(tmp_path: Path) -> Path:
    path = tmp_path / "grid.toml"
    path.write_text(GRID)
    return path


def run(grid_file: Path, out: Path, *options: str) -> Result:
    app = typer.Typer()
    app.command()(paper_table.paper_table)
    return CliRunner().invoke(app, [str(grid_file), "--out", str(out), *options])


@dataclass(frozen=True)
class Ran:
    """The whole grid, run once for the tests that only look at it: its file, its folder, and what was asked for it."""

    file: Path
    out: Path
    calls: tuple[Request, ...]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder, before = tmp_path_factory.mktemp("grid"), len(CALLS)
    (folder / "grid.toml").write_text(GRID)
    done = run(folder / "grid.toml", folder / "out")
    assert done.exit_code == 0, done.output
    return Ran(folder / "grid.toml", folder / "out", tuple(CALLS[before:]))


def test_a_grid_runs_end_to_end_and_is_gone_on_with(ran: Ran) -> None:
    out = ran.out
    report = (out / "table.md").read_text()
    assert "simulated engine" in report
    assert "| Simulated † | PDP | words | 10 | 100.0 |" in report
    assert "| 99.5 |" in report, "published figures stand beside the measured ones"
    for better, worse in (("PDP", "PDP(+)"), ("PDP(+)", "Base"), ("PDP", "Base"), ("PDP", "LEAP")):
        assert f"- {better} > {worse}: the sign holds in 1 of 1 cells; 1 gains and 0 losses are clear" in report
    assert "PDP > PDP(+) > Base: in 1 of 1 cells" in report
    assert "averaged over data sets: for 1 of 1 models" in report

    table = json.loads((out / "table.json").read_text())
    assert [cell["method"] for cell in table["cells"]] == ["Base", "LEAP", "PDP(+)", "PDP"]
    assert all(cell["simulated"] for cell in table["cells"])
    assert all(sign["holds"] for sign in table["signs"])
    indices = [cell["index_best"]["value"] for cell in table["cells"]]
    assert indices == sorted(set(indices)), "LEAP, too, is better than the plain program"

    assert all((cell["compile tokens"] > 0) == (cell["method"] != "Base") for cell in table["cells"])
    assert "Simulated, words, PDP, committed: +" in report

    before = len(CALLS)
    assert run(ran.file, out).exit_code == 0
    assert len(CALLS) == before, "what is done is not done again"
    assert (out / "table.md").read_text() == report


def compiled(out: Path, method: str) -> dspy.Predict:
    """The predictor of a cell's program, read from its folder."""
    program = ad.Anytime(dspy.ChainOfThought("problem -> answer"), (4, 8, 16, 32))
    return program.load(out / "words" / "simulated" / method / "compile" / "program.json").predictors()[0]


def measured_with(predictor: dspy.Predict, calls: Sequence[Request]) -> bool:
    """Whether questions were put, and not as samples, with a program's instructions and all its demonstrations."""
    told = [" ".join(line.split()) for line in predictor.signature.instructions.splitlines()]
    return any(
        not is_sampled(request)
        and [" ".join(line.split()) for line in system_of(request).splitlines()][-len(told) :] == told
        and len(demos_of(request)) == len(predictor.demos)
        for request in calls
    )


def test_each_methods_prompt_holds_what_that_method_teaches(ran: Ran) -> None:
    leap, positive, pdp = (compiled(ran.out, method) for method in ("leap", "pdp-plus", "pdp"))

    learned = json.loads((ran.out / "words" / "simulated" / "leap" / "compile" / "report.json").read_text())
    assert learned["mistakes"] > 0
    assert (learned["low"], learned["shown"]) == ([LESSON], [LESSONS])
    assert f"- {LESSONS}" in leap.signature.instructions
    assert CONCLUSION not in leap.signature.instructions

    assert LESSONS not in positive.signature.instructions + pdp.signature.instructions
    assert CONCLUSION not in positive.signature.instructions
    assert pdp.signature.instructions.startswith(positive.signature.instructions)
    assert pdp.signature.instructions.count(CONCLUSION) >= len(pdp.demos) == len(positive.demos) > 0
    assert all(CONCLUSION in demo["reasoning"] for demo in (*positive.demos[-1:], *pdp.demos[-1:]))

    assert all(measured_with(predictor, ran.calls) for predictor in (leap, positive, pdp))
    assert {method_of(request) for request in ran.calls if not is_sampled(request)} == set(NEEDS)


@pytest.mark.slow
def test_the_search_is_a_method_of_the_grid(grid_file: Path, tmp_path: Path) -> None:
    methods = 'methods = ["Base", "PDP, raced"]\ntrials = 4\n'
    grid = GRID.replace("train = 4", "train = 16")
    grid_file.write_text(grid.replace("samples = 4\n", f"samples = 4\n{methods}"))
    priced = run(grid_file, tmp_path / "none", "--dry-run")
    assert priced.exit_code == 0, priced.output
    out = tmp_path / "out"
    done = run(grid_file, out)
    assert done.exit_code == 0, done.output
    base, searched = json.loads((out / "table.json").read_text())["cells"]
    assert searched["index_best"]["value"] > base["index_best"]["value"]
    (compiled,) = out.glob("words/simulated/*raced/compile/report.json")
    assert json.loads(compiled.read_text())["search"]["candidates"] >= 4


def test_a_cell_that_failed_is_named_and_made_up_for(grid_file: Path, tmp_path: Path) -> None:
    methods = 'samples = 4\nmethods = ["Base", "LEAP"]\n'
    grid_file.write_text(GRID.replace('"any"', '"mortal"').replace("samples = 4\n", methods))
    out = tmp_path / "out"
    DIES_AFTER["mortal"] = len(CALLS) + 3
    dead = run(grid_file, out)
    assert dead.exit_code == 1
    assert "## Missing" in (out / "table.md").read_text()
    assert "the simulated engine died" in dead.output
    del DIES_AFTER["mortal"]
    assert run(grid_file, out).exit_code == 0
    assert "## Missing" not in (out / "table.md").read_text()


def test_another_grid_does_not_go_on_in_its_cells(grid_file: Path, tmp_path: Path) -> None:
    one = GRID.replace("leap_answers = 2", 'methods = ["Base"]')
    grid_file.write_text(one)
    assert run(grid_file, tmp_path / "out").exit_code == 0
    grid_file.write_text(one.replace("[4, 8, 16, 32]", "[4, 8]"))
    assert "holds another run: its budgets" in run(grid_file, tmp_path / "out").output


def test_a_dry_run_says_what_each_cell_costs_and_asks_nothing(
    grid_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    grid_file.write_text(GRID.replace('lm = "any"', 'lm = "any"\nprices = [1000000.0, 2000000.0]'))
    before = len(CALLS)
    done = run(grid_file, tmp_path / "out", "--dry-run")
    assert done.exit_code == 0, done.output
    assert len(CALLS) == before
    assert not (tmp_path / "out").exists()
    base = next(line for line in done.output.splitlines() if "Base" in line)
    calls, prompt, completion, price = (cell.strip().replace(",", "") for cell in base.strip("│ ").split("│")[3:7])
    # 10 examples, a trace each and an answer at each of 4 budgets; 32 tokens a trace and 32 an answer.
    assert (int(calls), int(completion)) == (10 * 5, 10 * (32 + 5 * 32))
    assert float(price) == int(prompt) + 2 * int(completion)


def test_a_dry_run_says_how_long_each_cell_takes(
    grid_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    options = ("--dry-run", "--in-flight", "4", "--in-flight", "1000", "--latency", "720", "--speed", "1")
    done = run(grid_file, tmp_path / "out", *options)
    assert done.exit_code == 0, done.output
    hours = {
        cells[2]: [float(cell) for cell in cells[-2:]]
        for line in done.output.splitlines()
        if len(cells := [cell.strip() for cell in line.strip("│ ").split("│")]) == 9
    }
    # Five calls of 0.2 hours each one after the other, which write 32 + 5 * 32 tokens in 192 seconds.
    chain = 5 * 0.2 + 192 / 3600
    assert hours["Base"] == pytest.approx([3 * chain, chain], abs=0.01), "10 examples, 4 at a time"
    assert hours["PDP"] == pytest.approx([(4 + 3) * chain, 2 * chain], abs=0.01), "16 samples before them"


class Lockstep(Clock):
    """A clock on which only LM calls take time: they are replied to together, as soon as so many are in flight."""

    def __init__(self, in_flight: int) -> None:
        self.time = 0.0
        self._seconds: list[float] = []
        self._all = threading.Barrier(in_flight, self._advance, timeout=60)

    def now(self) -> float:
        return self.time

    def wait(self, seconds: float, request: Request) -> None:
        self._seconds.append(seconds)
        if asked_for(request) == ("principles",):  # the one call that is alone
            self._advance()
        else:
            self._all.wait()

    def _advance(self) -> None:
        self.time += max(self._seconds)
        self._seconds.clear()


def test_a_run_costs_and_takes_what_was_estimated() -> None:
    found = compared(simulated_grid(8, 4, in_flight=4), Pace(0.5, 100.0), Lockstep(4))
    assert [each.method for each in found] == ["Base", "LEAP", "PDP(+)", "PDP"]
    for each in found:
        assert each.spent.calls == each.estimated.calls
        assert each.estimated.completion - each.spent.calls < each.spent.completion <= each.estimated.completion
        assert each.spent.prompt <= each.estimated.prompt
        # An answer that ends is a token shorter than its cap.
        assert 0.98 * each.seconds < each.took <= each.seconds
    assert all(each.spent.prompt > 0.9 * each.estimated.prompt for each in found if each.method in ("Base", "PDP"))


def test_what_a_grid_costs_is_at_most_what_the_dry_run_says(ran: Ran) -> None:
    grid = read_grid(ran.file)
    (data,) = grid.data
    examples = examples_of(data, 0, learning=True, show_texts=False)
    bound = sum(cost_of(grid, data, examples, method, 200).calls for method in grid.methods)
    assert 0 < len(ran.calls) <= bound


def test_the_papers_grid_is_whole_and_priced_on_real_data(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = read_grid(PAPER)
    assert (len(grid.models), len(grid.data), len(grid.methods)) == (7, 3, 4)
    aime = (shared_data / "aime" / "aime24_test.jsonl").read_text().splitlines()
    (tmp_path / "train.jsonl").write_text("\n".join(aime[:10]))
    (tmp_path / "test.jsonl").write_text("\n".join(aime[10:]))
    local = {
        "trip": f"data = '{shared_data}/natural_plan/trip_planning.json'",
        "aime": f"data = '{tmp_path}/test.jsonl'\ntrain_data = '{tmp_path}/train.jsonl'",
        "gpqa": f"data = '{shared_data}/gpqa/dataset.zip'",
    }
    text = PAPER.read_text()
    for task, lines in local.items():
        text = text.replace(f'task = "{task}"', f'{lines}\ntask = "{task}"')
    path = tmp_path / "offline.toml"
    path.write_text(text)
    monkeypatch.setenv("COLUMNS", "160")
    done = run(path, tmp_path / "out", "--dry-run")
    assert done.exit_code == 0, done.output
    assert done.output.count("PDP(+)") == 21
    assert "Without a price, and not in the sum: gpt-oss-120b, gpt-oss-20b, LLaMA-3.3-70B" in " ".join(
        done.output.split()
    )
    with pytest.raises(DataError, match="--show-gpqa"):
        run_raising(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def run_raising(grid_file: Path, out: Path) -> None:
    paper_table.paper_table(grid_file, out)


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (GRID.replace("samples", "sample"), "sample: Extra inputs are not permitted"),
        (GRID.replace("[4, 8, 16, 32]", "[8, 4]"), "increase"),
        (GRID.replace('task = "word_problems"', 'task = "words"'), "no task 'words'"),
        (GRID.replace("tests.test_paper_table:", "tests.nowhere:"), "no simulated engine tests.nowhere"),
        (GRID + '[[data]]\nname = "words"\ntask = "trip"\nbudgets = [4, 8]\n', "two of the data sets"),
        (GRID[:-3], "not whole TOML"),
    ],
)
def test_a_broken_grid_is_one_clear_error(grid_file: Path, tmp_path: Path, broken: str, complaint: str) -> None:
    grid_file.write_text(broken)
    with pytest.raises(AnytimeError) as caught:
        run_raising(grid_file, tmp_path / "out")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_learning_from_what_is_measured_on_is_refused(shared_data: Path, grid_file: Path, tmp_path: Path) -> None:
    lines = f"task = 'aime'\ndata = '{shared_data}/aime/aime24_test.jsonl'"
    grid_file.write_text(GRID.replace('task = "word_problems"\ngenerated = true', lines))
    with pytest.raises(DataError, match="both learned from and measured on"):
        run_raising(grid_file, tmp_path / "out")


def test_the_papers_models_are_those_of_their_servers() -> None:
    lms = {model.name: open_model(model, 1) for model in read_grid(PAPER).models}
    assert lms["gpt-oss-20b"].model == "hosted_vllm/openai/gpt-oss-20b"
    assert lms["gpt-oss-20b"].kwargs["api_base"] == "http://localhost:8001/v1"
    assert all(lm.kwargs["temperature"] == 0.0 for lm in lms.values())


def test_the_small_grid_is_read() -> None:
    assert [data.name for data in read_grid(SMALL).data] == ["word problems", "trips"]
