"""A sweep on a real Ray: two nodes of this machine, actors and nodes that are killed, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
import pytest

import anytime_dspy as ad
from anytime_dspy import ray_executor
from anytime_dspy.errors import ClusterError, ModelError
from anytime_dspy.measure import sweep
from anytime_dspy.ray_executor import RayExecutor
from anytime_dspy.storage.results import ExampleResult
from anytime_dspy.storage.run_folder import RunStore
from anytime_dspy.testing import chat, words
from tests.fakes.command_line import assert_refused, cli_process
from tests.fakes.http_server import ChatServer, Received, Reply
from tests.fakes.numbered import TASK, numbered, timeless, traced

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'anytime-dspy[ray]'")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # each actor imports all of DSPy and litellm, which on a busy machine takes minutes
    pytest.mark.usefixtures("litellm_loop"),
    # Of Ray's own connections, and of litellm's.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore:.*ReadOnly.*:UserWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

THREADS = 4
ACTORS = 3


def script(received: Received) -> Reply:
    """What the server writes: an agent's step where a tool may be called."""
    prompt = received.prompt
    if "[[ ## next_tool_name ## ]]" in prompt and "[[ ## next_thought ## ]]" in prompt:
        seen = "[[ ## observation_0 ## ]]" in prompt or "Observation" in prompt or '"observation_0"' in prompt
        tool = ("finish", "{}") if seen else ("double", '{"number": 21}')
        return Reply(chat(next_thought=words(6), next_tool_name=tool[0], next_tool_args=tool[1]))
    return numbered(received)


@dataclass(frozen=True)
class Lab:
    """A cluster and the server that its actors ask."""

    cluster: Any
    server: ChatServer

    @property
    def lm(self) -> dspy.LM:
        return dspy.LM("openai/gpt-4.1", api_base=self.server.url, api_key="none", temperature=0.0, cache=False)

    def executor(self, **options: Any) -> RayExecutor:
        return RayExecutor(self.cluster.address, **options)


SMALL = {"num_cpus": 1, "object_store_memory": 80_000_000}
STARTS = 4


def two_nodes() -> Any:
    """A cluster of two nodes. Ray gives a node 30 seconds to start, which a busy machine may need twice."""
    from ray.cluster_utils import Cluster

    left = STARTS
    while True:
        cluster = Cluster()
        try:
            cluster.add_node(**SMALL, include_dashboard=False)
            cluster.add_node(**SMALL)
            cluster.wait_for_nodes()
        except Exception as error:  # Ray has no class of its own for it
            cluster.shutdown()
            left -= 1
            if "timed out" not in str(error) or not left:
                raise
        else:
            return cluster


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with ChatServer(script, delay=0.05) as server, pytest.MonkeyPatch.context() as patch:
        # The nodes' environment is what the actors see.
        patch.setenv("OPENAI_API_BASE", server.url)
        patch.setenv("OPENAI_API_KEY", "none")
        patch.setenv("RAY_worker_register_timeout_seconds", "600")
        cluster = two_nodes()
        try:
            yield Lab(cluster, server)
        finally:
            cluster.shutdown()


def examples(count: int) -> list[dspy.Example]:
    return [dspy.Example(id=str(n), question=f"question {n}?").with_inputs("question") for n in range(count)]


def program(inner: dspy.Module | None = None) -> ad.Anytime:
    return ad.Anytime(inner or dspy.ChainOfThought("question -> answer"), budgets=(8, 16), answer_tokens=40)


def double(number: int) -> int:
    """Doubles a number."""
    return 2 * number


def quality(example: dspy.Example, prediction: dspy.Prediction) -> float:
    return float(prediction.answer == example.id)


@pytest.mark.parametrize(
    "inner",
    [
        lambda: dspy.ChainOfThought("question -> answer"),
        lambda: dspy.ReAct("question -> answer", tools=[double], max_iters=3),
    ],
    ids=["chain of thought", "agent"],
)
def test_a_sweep_on_ray_is_the_sweep_in_threads(inner, lab, tmp_path):
    data = examples(12)
    with dspy.context(lm=lab.lm):
        here = sweep(program(inner()), data, ad.AnytimeIndex(quality), threads=THREADS)
        store = RunStore.open(tmp_path / "run", {"on": "ray"})
        metric = ad.AnytimeIndex(quality)
        there = sweep(program(inner()), data, metric, store=store, threads=THREADS, executor=lab.executor(actors=2))
        asked = len(lab.server.received)
        again = sweep(program(inner()), data, metric, store=store, executor=lab.executor())
    assert all(result.error is None for result in here)
    assert timeless(there) == timeless(here)
    assert (again, len(lab.server.received)) == (there, asked)
    assert RunStore.read(tmp_path / "run").results() == there


@dataclass(frozen=True)
class NotingWhere:
    """A quality function that writes down in which process, on which node, it is called."""

    path: Path

    def __call__(self, example: dspy.Example, prediction: dspy.Prediction) -> float:
        node = ray.get_runtime_context().get_node_id()
        with self.path.open("a") as file:
            file.write(f"{os.getpid()} {node}\n")
        deadline = time.monotonic() + 60
        while len(self.seen()) < ACTORS and time.monotonic() < deadline:
            time.sleep(0.05)  # until all actors are at work
        return 1.0

    def seen(self) -> list[tuple[int, str]]:
        lines = [line.split() for line in self.path.read_text().splitlines()]
        return list(dict.fromkeys((int(pid), node) for pid, node in lines))


def kill_an_actor(lab: Lab, noted: NotingWhere, third: Any) -> None:
    os.kill(noted.seen()[0][0], signal.SIGKILL)


def kill_a_node(lab: Lab, noted: NotingWhere, third: Any) -> None:
    lab.cluster.remove_node(third, allow_graceful=False)


@pytest.mark.parametrize("kill", [kill_an_actor, kill_a_node])
def test_a_killed_actor_or_node_costs_what_was_in_flight(kill, lab, tmp_path):
    count = 90
    noted = NotingWhere(tmp_path / "noted")
    third = lab.cluster.add_node(**SMALL)
    lab.cluster.wait_for_nodes()
    finished: list[str] = []
    killed = threading.Event()

    def on_result(result: ExampleResult) -> None:
        if not killed.is_set():
            finished.append(result.id)
            if len(noted.seen()) == ACTORS and len(finished) > 20:
                kill(lab, noted, third)
                killed.set()

    before = len(lab.server.received)
    store = RunStore.open(tmp_path / "run", {"killed": kill.__name__})
    # One actor a node: there is no room for another one in place of a node's.
    executor = lab.executor()
    try:
        with dspy.context(lm=lab.lm):
            results = sweep(
                program(),
                examples(count),
                ad.AnytimeIndex(noted),
                store=store,
                threads=THREADS,
                executor=executor,
                on_result=on_result,
            )
    finally:
        if third in lab.cluster.worker_nodes:
            lab.cluster.remove_node(third)
    assert killed.is_set()
    assert [result.error for result in results] == [None] * count
    lines = (tmp_path / "run" / "results.jsonl").read_bytes().splitlines()
    assert [json.loads(line)["id"] for line in lines] == [str(n) for n in range(count)], "nothing lost, nothing twice"
    asked = Counter(traced(received) for received in lab.server.received[before:])
    repeated = {number for number, times in asked.items() if number is not None and times > 1}
    assert not repeated & set(finished), "what was done is not paid for again"
    assert len(repeated) <= THREADS
    assert max(times for number, times in asked.items() if number is not None) <= 2


def deadly(example: dspy.Example, prediction: dspy.Prediction) -> float:
    if example.id == "3":
        os.kill(os.getpid(), signal.SIGKILL)
    return 1.0


def test_an_example_that_kills_its_actor_is_run_twice_and_no_more(lab, tmp_path):
    before = len(lab.server.received)
    store = RunStore.open(tmp_path / "run", {"deadly": True})
    with dspy.context(lm=lab.lm):
        executor = lab.executor(actors=2)
        results = sweep(program(), examples(8), ad.AnytimeIndex(deadly), store=store, threads=1, executor=executor)
    assert [result.id for result in results if result.error] == ["3"]
    assert "two actors died" in str(results[3].error)
    asked = Counter(traced(received) for received in lab.server.received[before:])
    assert {number: times for number, times in asked.items() if number is not None} == {
        str(n): 2 if n == 3 else 1 for n in range(8)
    }


class Unsendable:
    """An LM in which a lock is, as in any embedded engine."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def copy(self) -> Unsendable:
        return self


def refusal(executor: RayExecutor, lm: Any) -> str:
    with dspy.context(lm=lm), pytest.raises(ClusterError) as refused:
        sweep(program(), examples(2), ad.AnytimeIndex(quality), executor=executor)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def no_lm() -> dspy.LM:
    raise ModelError("there is no such model here")


def test_what_cannot_be_run_is_refused_before_anything_is_paid_for(lab):
    before = len(lab.server.received)
    assert "cannot be sent to Ray" in refusal(lab.executor(), Unsendable())
    assert "make_lm" in refusal(lab.executor(), Unsendable())
    assert "no node of the Ray cluster has 64 CPUs" in refusal(lab.executor(num_cpus=64), lab.lm)
    assert "there is no such model here" in refusal(lab.executor(actors=1, make_lm=no_lm), lab.lm)
    assert "cannot connect to Ray at 127.0.0.1:1" in refusal(RayExecutor("127.0.0.1:1"), lab.lm)
    assert len(lab.server.received) == before


def test_waiting_for_actors_is_said_once_and_not_by_each_thread(lab, monkeypatch, caplog):
    monkeypatch.setattr(ray_executor, "PATIENCE", 0.5)
    begun = time.monotonic()
    with dspy.context(lm=lab.lm):
        sweep(program(), examples(8), ad.AnytimeIndex(quality), threads=8, executor=lab.executor(actors=1))
    said = [record for record in caplog.records if "ready and free" in record.getMessage()]
    assert 1 <= len(said) <= 1 + (time.monotonic() - begun) / ray_executor.PATIENCE


def hidden(example: dspy.Example, prediction: dspy.Prediction) -> float:
    raise AssertionError("never scored")


def test_what_stops_one_example_stops_the_sweep(lab):
    class Stops(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.step = dspy.ChainOfThought("question -> answer")

        def forward(self, question: str) -> dspy.Prediction:
            raise ModelError("it hides its thinking")

    with dspy.context(lm=lab.lm), pytest.raises(ModelError, match=r"^it hides its thinking$"):
        sweep(program(Stops()), examples(3), ad.AnytimeIndex(hidden), executor=lab.executor(actors=1))


def test_a_ray_that_does_not_fit_is_named(monkeypatch):
    monkeypatch.setattr(ray_executor, "version", lambda name: "2.9.3")
    with pytest.raises(ClusterError, match=r"Ray 2\.9\.3 is installed, at least 2\.40 is needed"):
        RayExecutor("auto")


def test_the_command_line_runs_a_task_file_on_ray(lab, tmp_path):
    (tmp_path / "my_task.py").write_text(TASK)
    key = {"OPENAI_API_KEY": "none", "OPENAI_API_BASE": lab.server.url}
    common = ("sweep", "my_task.py", "--model", "openai/gpt-4.1", "--json", "--threads", 2)
    here = cli_process(*common, "--out", "here", cwd=tmp_path, **key)
    there = cli_process(*common, "--out", "there", "--ray", lab.cluster.address, cwd=tmp_path, **key)
    assert (here.returncode, there.returncode) == (0, 0), here.stderr + there.stderr
    assert json.loads(there.stdout)["programs"]["plain"]["n"] == 24
    runs = [RunStore.read(tmp_path / name) for name in ("here", "there")]
    assert timeless(runs[0].results()) == timeless(runs[1].results())
    assert runs[0].fingerprint == runs[1].fingerprint


def test_the_command_line_says_that_a_cluster_is_away(tmp_path):
    (tmp_path / "my_task.py").write_text(TASK)
    arguments = ("sweep", "my_task.py", "--model", "openai/gpt-4.1", "--out", "run", "--ray", "127.0.0.1:1")
    assert_refused(cli_process(*arguments, cwd=tmp_path, OPENAI_API_KEY="none"), "cannot connect to Ray at 127.0.0.1:1")
