"""The comparison of compilers as a command, every compiler really run; no figure here is one of a language model."""

from __future__ import annotations

import io
import itertools
import json
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path

import dspy
import pytest
import typer
from click.testing import Result as Done
from dspy.lm15 import InvalidRequestError, Request
from typer.testing import CliRunner

import anytime_dspy as ad
from anytime_dspy.errors import AnytimeError
from anytime_dspy.state import program_hash
from anytime_dspy.testing import Reply, ScriptedEngine, asked_for, prefill_of, prompt_of, scripted_lm
from anytime_dspy.testing import chat as chatted
from experiments.compilers import run as command
from experiments.compilers.cells import CellRunner
from experiments.compilers.examples import examples_of
from experiments.compilers.figures import figures_of, gain
from experiments.compilers.meter import LimitReached, TokenMeter
from experiments.compilers.methods import BASE, COMPILERS, Job
from experiments.compilers.plan import Plan, read_plan
from experiments.compilers.result import Point
from tests.fakes.simulated import PLANTED, simulated

pytestmark = [
    # What DSPy's optimisers themselves warn of is no fault here.
    pytest.mark.filterwarnings("ignore"),
]

OURS = {"answer", "better", "rules", "sentences"}
DSPYS = [name for name, method in COMPILERS.items() if method.peer]

# What was asked of the engines that the command opened, and after how many calls the one of a name dies.
CALLS: list[Request] = []
DIES_AFTER: dict[str, int] = {}

PLAN = f"""
title = "Simulated compilers"
seeds = [0]
threads = 1

[settings]
simba_steps = 2
simba_candidates = 2
simba_batch = 4
shares = [1.0, 0.6]

[[bench]]
name = "sums"
task = "{Path(__file__).parent / "fakes" / "sums_task.py"}"
generated = true
train = 6
validation = 5
test = 8
budgets = [16, 24, 32, 40]
answer_tokens = 8
tokens = 60000

[bench.model]
name = "Simulated"
lm = "any"
simulated = "tests.test_compilers:simulated_lm"
"""


def writing() -> Reply:
    """The simulated engine, which also writes whatever field DSPy's optimisers ask for; its samples differ."""
    samples = itertools.count()

    def reply(request: Request) -> str:
        wanted = asked_for(request)
        if "new_instruction" in prompt_of(request):
            return json.dumps({"new_instruction": PLANTED})
        if prefill_of(request) is None and OURS.isdisjoint(wanted):
            fields = dict.fromkeys(wanted, PLANTED)
            return json.dumps(fields) if "JSON object" in prompt_of(request) else chatted(**fields)
        if request.config.temperature and request.config.seed is None:
            request = replace(request, config=replace(request.config, seed=next(samples)))
        return simulated(request)

    return reply


def simulated_lm(name: str) -> dspy.LM:
    written = writing()

    def reply(request: Request) -> str:
        if len(CALLS) == DIES_AFTER.get(name):
            raise InvalidRequestError("the simulated engine died")
        CALLS.append(request)
        return written(request)

    return dspy.LM(f"simulated/{name}", engine=ScriptedEngine(reply), temperature=0.0)


def run(plan_file: Path, out: Path, *options: str) -> Done:
    app = typer.Typer()
    app.command()(command.compare_compilers)
    folders = ["--results", str(out / "results"), "--work", str(out / "work")]
    return CliRunner().invoke(app, [str(plan_file), *folders, *options])


def planned(folder: Path, text: str = PLAN) -> Path:
    path = folder / "plan.toml"
    path.write_text(text)
    return path


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return read_plan(planned(tmp_path))


@dataclass(frozen=True)
class Ran:
    """Every compiler, run once for the tests that only look at it."""

    plan: Path
    out: Path
    files: dict[str, dict]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("compilers")
    done = run(planned(folder), folder)
    assert done.exit_code == 0, done.output
    files = [json.loads(path.read_text()) for path in (folder / "results" / "sums").iterdir()]
    return Ran(folder / "plan.toml", folder, {file["compiler"]: file for file in files})


@pytest.mark.slow
def test_every_compiler_compiles_within_its_tokens(ran: Ran) -> None:
    assert set(ran.files) == {BASE, *COMPILERS}
    for name, file in ran.files.items():
        assert file["error"] is None
        assert file["simulated"]
        assert [point["limit"] for point in file["points"]] == ([0] if name == BASE else [30000, 60000])
        for point in file["points"]:
            assert len(point["indices"]) == 8
            stopped = point["ended"] == "at the limit"
            assert (0.5 * point["limit"] if stopped else 0) <= point["tokens"] < point["limit"] + 1000, "a call at most"
    changed = {name for name, file in ran.files.items() if not file["points"][-1]["is_student"]}
    assert changed >= {name for name, method in COMPILERS.items() if not method.stops_itself}
    # A race returns the student where so few examples leave no gain sure.


def test_the_report_marks_simulated_figures_and_the_picture_is_drawn(ran: Ran) -> None:
    table = (ran.out / "results" / "table.md").read_text()
    assert "simulated engine" in table
    assert "## Missing" not in table
    assert all(f"| {name} † | 8 (1) |" in table for name in (BASE, *COMPILERS))
    assert (ran.out / "results" / "sums.png").stat().st_size > 10_000


def test_what_is_done_is_not_done_again(ran: Ran) -> None:
    before, table = len(CALLS), (ran.out / "results" / "table.md").read_text()
    assert run(ran.plan, ran.out).exit_code == 0
    assert len(CALLS) == before
    assert (ran.out / "results" / "table.md").read_text() == table


def test_results_of_another_plan_are_not_mixed_in(ran: Ran, tmp_path: Path) -> None:
    other = planned(tmp_path, PLAN.replace("tokens = 60000", "tokens = 70000"))
    with pytest.raises(AnytimeError, match="measured with other settings"):
        command.compare_compilers(other, results=ran.out / "results", work=tmp_path, retry=False, at_most=None)


def job_of(plan: Plan, lm: dspy.LM, tokens: int = 10**9) -> Job:
    bench = plan.benches[0]
    examples = examples_of(bench, 0)
    return Job(
        student=ad.Anytime(examples.task.program(), bench.budgets, answer_tokens=8),
        train=examples.train,
        validation=examples.validation,
        metric=ad.AnytimeIndex(examples.task.quality, best_so_far=False),
        answer_key=examples.task.answer_key,
        lm=lm,
        seed=0,
        threads=1,
        settings=plan.settings,
        tokens=tokens,
    )


@pytest.mark.parametrize("name", DSPYS)
@pytest.mark.slow
def test_what_is_seen_of_a_compiler_is_what_it_chooses_by(name: str, plan: Plan) -> None:
    lm = scripted_lm(writing(), temperature=0.0, cache=True)
    job, method = job_of(plan, lm), COMPILERS[name]
    watcher = method.watcher(job)
    with dspy.context(lm=lm), TokenMeter(lm.engine.counter).running(watcher):
        returned = method.compile(job)
    assert watcher.best is not None
    assert program_hash(returned) in watcher.measured
    assert watcher.measured[program_hash(returned)] == max(watcher.measured.values())
    assert program_hash(job.student) in watcher.measured
    if name == "SIMBA":
        own = {program_hash(one["program"]): one["score"] for one in returned.candidate_programs}
        assert watcher.measured == pytest.approx(own)
    else:
        assert program_hash(watcher.best) == program_hash(returned)


class Killed(BaseException):
    """As a signal would, nobody catches it."""


@pytest.mark.parametrize("name", ["BootstrapFewShotWithRandomSearch", "PDP raced"])
@pytest.mark.slow
def test_a_killed_cell_goes_on_and_pays_for_nothing_twice(name: str, plan: Plan, tmp_path: Path) -> None:
    cell = next(cell for cell in plan.cells() if cell.compiler == name)

    def cell_runner(engine: ScriptedEngine, folder: str) -> CellRunner:
        return CellRunner.of(plan, cell, dspy.LM("simulated/killed", engine=engine, temperature=0.0), tmp_path / folder)

    whole = ScriptedEngine(writing())
    expected = cell_runner(whole, "whole").run(name)
    assert expected.error is None

    written, left = writing(), itertools.count(150, -1)

    def mortal(request: Request) -> str:
        if next(left) == 0:
            raise Killed
        return written(request)

    engine = ScriptedEngine(mortal)
    with pytest.raises(Killed):
        cell_runner(engine, "killed").run(name)
    assert 150 <= len(engine.requests) < len(whole.requests)  # other threads may end the calls that they are in
    assert cell_runner(engine, "killed").run(name) == expected
    assert len(engine.requests) == len(whole.requests)


@pytest.mark.slow
def test_a_cell_that_failed_is_named_and_made_up_for(tmp_path: Path) -> None:
    text = PLAN.replace('"any"', '"mortal"').replace("threads = 1", 'threads = 1\ncompilers = ["LEAP"]')
    path = planned(tmp_path, text)
    assert run(path, tmp_path, "--cells", "1").exit_code == 0
    assert "- sums, LEAP, seed 0: not run yet" in (tmp_path / "results" / "table.md").read_text()
    DIES_AFTER["mortal"] = len(CALLS)
    assert run(path, tmp_path).exit_code == 1
    assert "the simulated engine died" in (tmp_path / "results" / "table.md").read_text()
    del DIES_AFTER["mortal"]
    before = len(CALLS)
    assert run(path, tmp_path).exit_code == 1
    assert len(CALLS) == before, "what failed is run again only when that is asked for"
    assert run(path, tmp_path, "--retry").exit_code == 0
    assert "## Missing" not in (tmp_path / "results" / "table.md").read_text()


def test_a_race_without_tokens_to_measure_with_leaves_the_student(plan: Plan, tmp_path: Path) -> None:
    poor = replace_bench(plan, tokens=8000)
    cell = next(cell for cell in poor.cells() if cell.compiler == "PDP raced")
    result = CellRunner.of(poor, cell, scripted_lm(writing(), temperature=0.0, cache=True), tmp_path).run("PDP raced")
    assert result.error is None
    assert all(point.is_student and point.ended == "at the limit" for point in result.points)


def replace_bench(plan: Plan, **changed: int) -> Plan:
    return plan.model_copy(update={"benches": (plan.benches[0].model_copy(update=changed),)})


@pytest.mark.parametrize("threads", [1, 4])
def test_every_token_of_every_thread_counts_and_a_cached_one_too(plan: Plan, threads: int) -> None:
    lm = scripted_lm(writing(), temperature=0.0, cache=True)
    job = job_of(plan, lm)
    evaluate = dspy.Evaluate(devset=job.validation, metric=job.metric, num_threads=threads)

    def counted() -> TokenMeter:
        meter = TokenMeter(lm.engine.counter)
        with dspy.context(lm=lm), meter.running():
            evaluate(job.student)
        return meter

    first = counted()
    usages = [response.usage for response in lm.engine.responses]
    assert first.calls == len(usages) > 5
    assert first.tokens == sum(usage.input_tokens + usage.output_tokens for usage in usages)
    again = counted()
    assert len(lm.engine.responses) == len(usages), "the cache answered"
    assert (again.tokens, again.calls) == (first.tokens, first.calls)


@pytest.mark.parametrize("threads", [1, 4])
def test_no_call_begins_beyond_the_limit(plan: Plan, threads: int) -> None:
    lm = scripted_lm(writing(), temperature=0.0)
    job = job_of(plan, lm)
    evaluate = dspy.Evaluate(devset=job.validation, metric=job.metric, num_threads=threads)
    meter = TokenMeter(lm.engine.counter, 1000)
    with dspy.context(lm=lm), pytest.raises(LimitReached), meter.running():
        evaluate(job.student)
    longest = max(response.usage.input_tokens + response.usage.output_tokens for response in lm.engine.responses)
    assert 1000 <= meter.tokens < 1000 + threads * longest
    assert meter.calls == len(lm.engine.responses)


def test_tokens_that_nobody_told_are_counted_by_their_text() -> None:
    meter = TokenMeter(ScriptedEngine(["none"]).counter)
    entry = {"response": None, "usage": {}, "messages": [{"content": "one two three"}], "outputs": ["four five"]}
    meter.history.append(entry)
    assert (meter.tokens, meter.calls) == (5, 1)
    meter.history.append({**entry, "usage": {"prompt_tokens": 7, "completion_tokens": 2}})
    assert meter.tokens == 14


def point(indices: dict[str, float], **more: float | None) -> Point:
    fields = {"validation": None, "student_validation": None, **more}
    return Point(60, 50, 5, "by itself", "hash", False, 0, indices=indices, tokens_a_run=10.0, **fields)


def test_gains_are_paired_by_item_and_an_item_of_two_seeds_counts_once() -> None:
    base = {0: point({"a": 0.0, "b": 0.5}), 1: point({"a": 0.5, "c": 0.5})}
    better = {0: point({"a": 0.5, "b": 0.5}), 1: point({"a": 0.5, "c": 1.0}), 2: point({"d": 1.0})}
    found = gain(base, better)
    assert found is not None
    assert (found.n, found.mean) == (3, pytest.approx((0.25 + 0.0 + 0.5) / 3))
    assert gain(base, {2: point({"d": 1.0})}) is None


def test_optimism_is_what_a_compiler_believed_less_what_it_gained() -> None:
    base = {0: point({"a": 0.0, "b": 0.5}), 1: point({"c": 0.5, "d": 0.5})}
    runs = {
        0: point({"a": 0.5, "b": 0.5}, validation=0.9, student_validation=0.4),
        1: point({"c": 0.5, "d": 0.5}, validation=0.6, student_validation=None),
    }
    figures = figures_of(runs, base)
    assert figures.optimism == pytest.approx(0.5 - 0.25)
    assert (figures.n, figures.seeds, figures.index.value) == (4, 2, 0.5)


def test_one_seed_of_every_compiler_comes_before_the_next(tmp_path: Path) -> None:
    second = PLAN[PLAN.index("[[bench]]") :].replace('"sums"', '"more"')
    cells = list(read_plan(planned(tmp_path, PLAN.replace("[0]", "[0, 1]") + second)).cells())
    names = [BASE, *COMPILERS]
    assert [cell.compiler for cell in cells] == names * 4
    assert [(cell.bench.name, cell.seed) for cell in cells[:: len(names)]] == [
        ("sums", 0),
        ("sums", 1),
        ("more", 0),
        ("more", 1),
    ]
    assert len({cell.path for cell in cells}) == len(cells)


def test_a_seed_draws_the_same_examples_and_never_one_twice(plan: Plan) -> None:
    shipped = read_plan(Path(command.__file__).parent / "plan.toml").benches[0]
    drawn = examples_of(shipped, 0)
    problems = [example.problem for example in (*drawn.train, *drawn.validation, *drawn.test)]
    assert len(set(problems)) == len(problems) == 24 + 32 + 150
    assert examples_of(shipped, 0) == drawn
    assert {example.id for example in drawn.test}.isdisjoint(example.id for example in examples_of(shipped, 1).test)


def test_the_second_tasks_programs_print_what_their_labels_say(monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(command.__file__).parents[2]
    monkeypatch.chdir(root)
    drawn = examples_of(read_plan(Path(command.__file__).parent / "plan.toml").benches[1], 0)
    made = [*drawn.train, *drawn.validation, *drawn.test]
    assert len({example.code for example in made}) == len(made) == 24 + 32 + 150
    for example in made:
        said = io.StringIO()
        with redirect_stdout(said):
            exec(example.code, {})
        assert drawn.task.quality(example, dspy.Prediction(output=f"`{said.getvalue().strip()}`")) == 1.0
        assert drawn.task.quality(example, dspy.Prediction(output="nothing")) == 0.0


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (PLAN.replace("threads", "thread"), "thread: Extra inputs are not permitted"),
        (PLAN.replace("[16, 24, 32, 40]", "[24, 16]"), "increase"),
        (PLAN.replace("threads = 1", 'compilers = ["COPRO"]'), "no compiler 'COPRO'"),
        (PLAN + PLAN[PLAN.index("[[bench]]") :], "two benches"),
        (PLAN[:-3], "not whole TOML"),
    ],
)
def test_a_broken_plan_is_one_clear_error(tmp_path: Path, broken: str, complaint: str) -> None:
    with pytest.raises(AnytimeError, match=complaint):
        read_plan(planned(tmp_path, broken))
