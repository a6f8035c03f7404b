"""A sweep on a Ray cluster: actors that each hold the program and an LM."""

from __future__ import annotations

import logging
import math
import queue
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import cloudpickle
import dspy

from anytime_dspy.errors import ClusterError
from anytime_dspy.executors import ReadyExecutor, RunExample
from anytime_dspy.storage.jsonl import as_json
from anytime_dspy.storage.results import ExampleResult

__all__ = ["RayExecutor"]

logger = logging.getLogger(__name__)

OLDEST = (2, 40)
PATIENCE = 60.0
"""Seconds without a free actor after which a warning is logged."""

# These belong to the process that set them.
_STAYS = (
    "callbacks",
    "caller_modules",
    "caller_predict",
    "lm",
    "send_stream",
    "stream_listeners",
    "trace",
    "usage_tracker",
)


class RayExecutor:
    """Runs the examples of a sweep on a Ray cluster.

    Each actor holds the program and an LM and runs `threads` examples at a time; no more are sent than are run, and
    each result is written by the process of the sweep as it comes. An actor that dies, by itself or with its node,
    costs the examples that it was at work on: another one runs them again, once, and a new one is started where there
    is room.

    Args:
        address: Of the cluster, as for `ray.init`: "auto", host:port or ray://host:port; "local" starts Ray here. A
            process that is connected to a cluster stays with that one.
        actors: How many; by default as many as the cluster has room for.
        num_cpus: What each reserves.
        make_lm: Called by each actor for its LM, where that of the `dspy.context` around cannot be sent, as an embedded
            engine cannot.

    Raises:
        ClusterError: Ray is not installed, or too old.

    Example:
        >>> executor = RayExecutor("auto", actors=4)  # doctest: +SKIP
        >>> sweep(program, examples, metric, threads=16, executor=executor)  # doctest: +SKIP
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        actors: int | None = None,
        num_cpus: float = 1,
        make_lm: Callable[[], Any] | None = None,
    ) -> None:
        _check_installed()
        self.address = address
        self.actors = actors
        self.num_cpus = num_cpus
        self.make_lm = make_lm

    @contextmanager
    def running(self, run: RunExample, threads: int) -> Iterator[ReadyExecutor]:
        """Starts the actors and ends them with the block.

        Raises:
            ClusterError: The cluster cannot be reached or has no room, or the program or LM cannot be sent.
        """
        import ray

        job = self._packed(run)
        with _connected(ray, self.address):
            actors = self.actors or _room(ray, self.num_cpus)
            pool = _Pool(ray, job, threads, self.num_cpus)
            try:
                pool.start(actors)
                yield ReadyExecutor(pool.run, actors * threads)
            finally:
                pool.end()

    def _packed(self, run: RunExample) -> bytes:
        settings = {name: value for name, value in dspy.settings.copy().items() if name not in _STAYS}
        lm = dspy.settings.lm
        make_lm = self.make_lm or (lm.copy if lm is not None else None)  # a copy leaves its history behind
        try:
            return bytes(cloudpickle.dumps((run, settings, make_lm)))
        except Exception as error:  # pickling runs anyone's code
            raise ClusterError(
                f"the program, metric or LM cannot be sent to Ray ({type(error).__name__}: {error}): where it is the "
                "LM, give RayExecutor(make_lm=...), a function that makes one"
            ) from error


class _Worker:
    """What runs in an actor."""

    def make_ready(self, job: bytes) -> None:
        """Unpacks the program and makes the LM; what fails there is raised as it is, and not as the actor's death."""
        self._run, settings, make_lm = cloudpickle.loads(job)
        self._settings = {**settings, "lm": make_lm() if make_lm else None}

    def run(self, packed: bytes) -> ExampleResult:
        name, example = cloudpickle.loads(packed)
        with dspy.context(**self._settings):
            result: ExampleResult = self._run(name, example)
        return result


class _Pool:
    """Actors, each handed out to as many threads at a time as it runs examples."""

    def __init__(self, ray: Any, job: bytes, threads: int, num_cpus: float) -> None:
        self._ray = ray
        self._job = ray.put(job)
        self._threads = threads
        # Ray itself must not try again: it would wait for the same actor, for which there may be no room left.
        self._worker = ray.remote(_Worker).options(
            num_cpus=num_cpus,
            max_concurrency=threads + 1,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
        )
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._alive: set[Any] = set()
        self._ended = False
        self._said = -math.inf

    def start(self, count: int) -> None:
        """Starts actors; each is handed out once it is ready."""
        for _ in range(count):
            with self._lock:
                self._begin()

    def end(self) -> None:
        """Ends all actors."""
        with self._lock:
            self._ended = True
            for actor in self._alive:
                self._ray.kill(actor)
            self._alive.clear()

    def run(self, name: str, example: dspy.Example) -> ExampleResult:
        """Runs an example on whichever actor is free, and once more on another one if that one dies.

        Raises:
            ClusterError: No actor can be made, or Ray failed.
            ModelError: As `sweep` says.
        """
        packed = cloudpickle.dumps((name, example))
        died = self._ray.exceptions.RayActorError
        for _ in range(2):
            actor = self._taken()
            try:
                result: ExampleResult = self._ray.get(actor.run.remote(packed))
            except died as error:
                logger.warning("An actor died; the examples that it was at work on are run again: %s", _line(error))
                self._replace(actor)
                continue
            except self._ray.exceptions.RayTaskError as error:
                self._free.put(actor)
                raise (error.cause or ClusterError(f"an actor failed: {_line(error)}")) from None
            except self._ray.exceptions.RayError as error:
                raise ClusterError(f"Ray failed: {_line(error)}; what was done is kept") from error
            self._free.put(actor)
            return result
        return ExampleResult(
            name, as_json(example.inputs().toDict()), (), error="ClusterError: two actors died while they ran it"
        )

    def _taken(self) -> Any:
        while True:
            try:
                free = self._free.get(timeout=PATIENCE)
            except queue.Empty:
                self._say_that_none_is_free()
                continue
            if isinstance(free, ClusterError):
                self._free.put(free)  # for the other threads
                raise free
            if free in self._alive:
                return free

    def _say_that_none_is_free(self) -> None:
        with self._lock:  # all threads of the pool wait, and one word is enough
            if time.monotonic() - self._said < PATIENCE:
                return
            self._said = time.monotonic()
            waited_for = len(self._alive)
        logger.warning("None of %d actors has been ready and free for %.0f seconds", waited_for, PATIENCE)

    def _begin(self) -> None:
        actor = self._worker.remote()
        self._alive.add(actor)
        ready = actor.make_ready.remote(self._job).future()
        ready.add_done_callback(lambda future: self._join(actor, future.exception()))

    def _join(self, actor: Any, error: BaseException | None) -> None:
        if error is None:
            for _ in range(self._threads):
                self._free.put(actor)
            return
        with self._lock:
            if self._ended:
                return
            self._alive.discard(actor)
            reason = getattr(error, "cause", None) or error
            logger.warning("An actor cannot be started: %s", _line(reason))
            if not self._alive:
                self._free.put(ClusterError(f"no actor can be started ({type(reason).__name__}: {_line(reason)})"))

    def _replace(self, actor: Any) -> None:
        with self._lock:
            if actor in self._alive and not self._ended:
                self._alive.discard(actor)
                self._begin()


def _check_installed() -> None:
    try:
        found = version("ray")
    except PackageNotFoundError:
        raise ClusterError("Ray is not installed: pip install 'anytime-dspy[ray]'") from None
    if tuple(map(int, found.split(".")[:2])) < OLDEST:
        raise ClusterError(f"Ray {found} is installed, at least {'.'.join(map(str, OLDEST))} is needed: update it")


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    if ray.is_initialized():  # by the user, who ends it
        yield
        return
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, configure_logging=False, include_dashboard=False)
    except Exception as error:  # of many classes, one for each way in which a cluster cannot be had
        raise ClusterError(f"cannot connect to Ray at {address or 'any address'}: {_line(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str | None) -> None:
    """Raises at once where nobody listens; Ray itself would try for minutes."""
    place = re.fullmatch(r"(?:ray://)?(.+):(\d+)", address or "")
    if place:
        socket.create_connection((place[1], int(place[2])), timeout=10).close()


def _room(ray: Any, num_cpus: float) -> int:
    nodes = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
    room = sum(int(cpus // num_cpus) for cpus in nodes)
    if not room:
        raise ClusterError(f"no node of the Ray cluster has {num_cpus:g} CPUs (they have {nodes}): add one")
    return room


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
