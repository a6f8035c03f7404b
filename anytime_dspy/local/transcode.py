"""Converts GGUF files for OpenVINO, whose reader does not support Q5_0: those tensors are written as Q8_0."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from anytime_dspy.errors import ModelError
from anytime_dspy.local.models import models_folder

__all__ = ["readable_by_openvino"]

logger = logging.getLogger(__name__)

Bytes = NDArray[np.uint8]

_READABLE = frozenset({"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K"})
_BLOCK = 32  # values in a block of either format
_Q5_0_BYTES, _Q8_0_BYTES = 22, 34


def readable_by_openvino(path: Path, digest: str) -> Path:
    """Returns a file with the same weights that OpenVINO can read: `path`, or a copy in the cache folder.

    A Q8_0 block holds a Q5_0 block exactly: the scale is the same and the five-bit integers fit into eight bits. So
    the copy computes what the original does; it is about a third larger.

    Args:
        path: A .gguf file.
        digest: Its SHA-256, which names the copy.

    Raises:
        ModelError: The file holds tensors of another format that OpenVINO does not read, or the copy cannot be written.
    """
    copy = models_folder() / "openvino" / f"{path.stem}-{digest[:12]}.gguf"
    if copy.is_file():
        return copy
    from gguf import GGUFReader  # which takes seconds for a whole vocabulary

    names = {tensor.tensor_type.name for tensor in GGUFReader(path).tensors}
    if names <= _READABLE:
        return path
    unknown = names - _READABLE - {"Q5_0"}
    if unknown:
        raise ModelError(
            f"OpenVINO does not read the tensors of {path} ({', '.join(sorted(unknown))}): use the llama.cpp engine "
            'with local_lm(..., engine="llama.cpp")'
        )
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(copy.with_name(copy.name + ".lock")):
            if not copy.is_file():
                logger.info("Writing the Q5_0 tensors of %s as Q8_0 for OpenVINO, once: %s", path, copy)
                partial = copy.with_name(copy.name + ".part")
                _write(path, partial)
                os.replace(partial, copy)
    except OSError as error:
        raise ModelError(
            f"cannot write {copy} ({error.strerror or error}): make room, or set ANYTIME_DSPY_HOME to another folder"
        ) from error
    return copy


def _write(source: Path, target: Path) -> None:
    from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter

    reader = GGUFReader(source)
    writer = GGUFWriter(target, str(reader.fields["general.architecture"].contents()))
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        value: Any = field.contents()
        if field.types[0] == GGUFValueType.ARRAY:
            writer.add_array(name, value)
        else:
            writer.add_key_value(name, value, field.types[0])
    for tensor in reader.tensors:
        data, kind = np.ascontiguousarray(tensor.data), tensor.tensor_type
        if kind == GGMLQuantizationType.Q5_0:
            data, kind = as_q8_0(data), GGMLQuantizationType.Q8_0
        writer.add_tensor(tensor.name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def as_q8_0(q5_0: Bytes) -> Bytes:
    """Returns a tensor's Q5_0 blocks as Q8_0 blocks of the same values.

    A Q5_0 block has a scale (2 bytes), the fifth bits of its 32 values (4) and their lower halves (16, the first 16
    values in the low nibbles); a value is (q - 16) times the scale. A Q8_0 block has a scale and 32 signed bytes.

    Args:
        q5_0: Shape (rows, bytes a row), whole blocks.

    Returns:
        Shape (rows, bytes a row), 34 bytes for each 22.
    """
    blocks = q5_0.reshape(-1, _Q5_0_BYTES)
    fifth = np.unpackbits(blocks[:, 2:6], axis=1, bitorder="little")
    low, high = blocks[:, 6:] & 0x0F, blocks[:, 6:] >> 4
    values = (np.concatenate([low, high], axis=1) | (fifth << 4)).astype(np.int8) - np.int8(16)
    out = np.empty((len(blocks), _Q8_0_BYTES), np.uint8)
    out[:, :2] = blocks[:, :2]
    out[:, 2:] = values.view(np.uint8)
    return out.reshape(*q5_0.shape[:-1], -1)
