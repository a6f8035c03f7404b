"""What is to be run, read from a TOML file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from anytime_dspy.errors import DataError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["Strict", "read_toml"]


class Strict(BaseModel):
    """A table of the file, in which a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Table = TypeVar("Table", bound=Strict)


def read_toml(path: Path, schema: type[Table], kind: str, like: str) -> Table:
    """Reads a file.

    Args:
        path: The file.
        schema: What it holds.
        kind: What it is called, for errors.
        like: A file that shows how one is written, for errors.

    Raises:
        DataError: It cannot be read, or a key is missing, misspelt or of the wrong kind.
    """
    try:
        return schema.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}): pass the path of a {kind}, such as {like}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not whole TOML ({error}): repair it") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: {where}: {first['msg']}: repair it, as in {like}") from error
