"""Settings that every test shares: no network, no cache outside a temporary folder."""

from __future__ import annotations

import asyncio
import atexit
import gc
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.fakes.unscripted import unscripted

# Read by dspy and litellm when they are imported, so set before any test module imports them.
os.environ["DSPY_CACHEDIR"] = tempfile.mkdtemp(prefix="anytime-dspy-cache-")
atexit.register(shutil.rmtree, os.environ["DSPY_CACHEDIR"], ignore_errors=True)
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["HF_HUB_OFFLINE"] = "1"
# No certificate is ever looked at here, and to read them all took each of a hundred HTTP clients 25 ms.
os.environ["SSL_CERT_DIR"] = os.environ["DSPY_CACHEDIR"]

# Two shared cores are noisy: a slow example is no failure.
settings.register_profile("anytime-dspy", deadline=None)
settings.load_profile("anytime-dspy")

MODEL_SECONDS = 900
"""What a test on an embedded model may take, on a slow machine that does other things too."""

SAMPLES = Path(__file__).parent / "data"
"""Small, licensed samples of the real data sets; `PROVENANCE.md` there says where they are from."""
WHOLE_SETS = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("local_lm"):
            item.add_marker(pytest.mark.timeout(MODEL_SECONDS))
    if hasattr(config, "workerinput"):  # one of pytest-xdist's processes: what takes longest begins first
        items.sort(key=lambda item: item.get_closest_marker("local_lm") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keeps each file's tests on one process, and the files that run an embedded model on the same one.

    Two engines at once would take the cores from each other. (The groups of `--dist loadgroup` are lost in pytest 9.2.)
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return "engine" if runs_engine(config.rootpath / file) else file

    return Scheduling(config, log)


@cache
def runs_engine(file: Path) -> bool:
    return "mark.local_lm" in file.read_text(encoding="utf-8")


def pytest_collection_finish() -> None:
    """Keeps what was imported out of later garbage collections: some tests ask for one, and each took half a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_unscripted() -> Iterator[None]:
    """Fails a test at its end where a fake was asked what it was not scripted for, whoever caught that error."""
    yield
    try:
        unscripted.refuse()  # by fixtures of a wider scope, too
    finally:
        unscripted.clear()


@pytest.fixture(scope="session", params=[SAMPLES, WHOLE_SETS], ids=["samples", "whole sets"])
def shared_data(request: pytest.FixtureRequest) -> Path:
    """The folder of the real data sets: their samples, and the whole sets where they stand beside the repository."""
    if not request.param.is_dir():
        pytest.skip("the whole data sets (../shared/data) are not here; their samples in tests/data are tested")
    return request.param


@pytest.fixture(scope="session")
def whole(shared_data: Path) -> bool:
    """Whether `shared_data` holds the whole sets."""
    return shared_data == WHOLE_SETS


@pytest.fixture(scope="session")
def smallest_lm() -> object:
    """The smallest embedded model, greedy, one slot; `anytime-dspy models pull smollm2-135m-instruct` fetches it."""
    import anytime_dspy as ad

    return ad.local_lm("smollm2-135m-instruct", temperature=0.0, max_tokens=256)


@pytest.fixture(scope="module")
def litellm_loop() -> Iterator[None]:
    """Closes the event loop that litellm makes for itself where there is none."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Takes the seconds out of whatever waits between tries are chosen, and says how long they were to be."""
    wait, chosen = time.sleep, []

    def sleep(seconds: float) -> None:
        chosen.append(seconds)
        wait(min(seconds, 0.01))

    monkeypatch.setattr(time, "sleep", sleep)
    return chosen
