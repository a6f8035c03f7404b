"""Reading records from JSON, JSON Lines and CSV files, from urls and from the Hugging Face hub, with clear errors."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.request import urlopen

from pydantic import BaseModel, ValidationError

from anytime_dspy.errors import DataError

__all__ = ["hub_records", "parse_records", "read_bytes", "read_records", "text_id"]

logger = logging.getLogger(__name__)

DOWNLOAD_SECONDS = 60.0
OFFLINE_HINT = "fetch it elsewhere and pass the file with --data PATH"
HUB_SCHEME = "hf://"

RecordT = TypeVar("RecordT", bound=BaseModel)


class _Raw(NamedTuple):
    """A record before validation."""

    key: str
    place: str
    value: Any


def read_records(source: str | Path, schema: type[RecordT]) -> dict[str, RecordT]:
    """Reads a file of records: a JSON object or array of them, one JSON object a line, or CSV.

    Args:
        source: A path, an http(s) url, or a file on the Hugging Face hub as `hf://datasets/OWNER/NAME/FILE`; CSV is
            known by its name's end.
        schema: The pydantic model that every record has to fit; keys that it does not name are ignored.

    Returns:
        The records in file order, under their keys in a JSON object, else under "0", "1", ...

    Raises:
        DataError: The source is missing, unreachable, empty, cut off or holds a record that does not fit.
    """
    return parse_records(read_bytes(source), str(source), schema)


def read_bytes(source: str | Path) -> bytes:
    """Returns what a file, a url or a file on the hub holds; see `read_records`.

    Raises:
        DataError: It is missing or unreachable.
    """
    if str(source).startswith(("http://", "https://", HUB_SCHEME)):
        return _download(str(source))
    try:
        return Path(source).read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{source} does not exist: check the path") from error
    except OSError as error:
        raise DataError(f"cannot read {source} ({_first_line(error)}): check the path") from error


def parse_records(content: bytes, name: str, schema: type[RecordT]) -> dict[str, RecordT]:
    """Reads records from a file's content; see `read_records`.

    Args:
        content: JSON, JSON Lines or CSV in UTF-8.
        name: What the file is called, in errors too; `.csv` at its end says that it is CSV.
        schema: The pydantic model that every record has to fit.

    Raises:
        DataError: The content is empty, cut off or holds a record that does not fit.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{name}, line {line} is not UTF-8 text: pass the data as JSON, JSON Lines or CSV") from error
    if not text.strip():
        raise DataError(f"{name} is empty: fetch it again")
    return _validated(_rows(text, name) if name.lower().endswith(".csv") else _split(text, name), schema, name)


def hub_records(
    dataset: str, configuration: str, split: str, schema: type[RecordT], *, way_in: str = OFFLINE_HINT
) -> dict[str, RecordT]:
    """Reads one split of a dataset on the Hugging Face hub.

    Args:
        dataset: The dataset's name, such as `openai/gsm8k`.
        configuration: The dataset's configuration.
        split: The split's name.
        schema: The pydantic model that every row has to fit.
        way_in: What to do where it cannot be fetched.

    Returns:
        The rows in order, under "0", "1", ...

    Raises:
        DataError: The dataset cannot be fetched or holds a row that does not fit.
    """
    import datasets  # slow to import: only where the hub is read

    name = f"{dataset} ({split})"
    try:
        rows = datasets.load_dataset(dataset, configuration, split=split)
    except Exception as error:  # whatever the transport below the hub's client raises
        raise DataError(f"could not load {name} from the hub ({_first_line(error)}): {way_in}") from error
    return _validated((_Raw(str(i), f"row {i}", row) for i, row in enumerate(rows)), schema, name)


def text_id(prefix: str, text: str) -> str:
    """Returns an id that a text keeps wherever it stands in a file.

    Example:
        >>> text_id("aime", "What is 1 + 1?")
        'aime-72f8917549'
    """
    return f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _download(url: str) -> bytes:
    logger.info("downloading %s", url)
    try:
        if url.startswith(HUB_SCHEME):
            from huggingface_hub import HfFileSystem

            content: bytes = HfFileSystem().read_bytes(url)
        else:
            with urlopen(url, timeout=DOWNLOAD_SECONDS) as response:
                content = response.read()
    except Exception as error:  # whatever the transport below the clients raises
        raise DataError(f"could not download {url} ({_first_line(error)}): {OFFLINE_HINT}") from error
    return content


def _rows(text: str, source: str) -> Iterator[_Raw]:
    try:
        for index, row in enumerate(csv.DictReader(io.StringIO(text, newline=""), strict=True)):
            yield _Raw(str(index), f"row {index + 1}", {key: value for key, value in row.items() if key is not None})
    except csv.Error as error:
        raise DataError(f"{source} is not whole CSV ({error}): fetch it again") from error


def _split(text: str, source: str) -> Iterator[_Raw]:
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        # The first line tells JSON Lines, with one bad line, from a JSON document that was cut off.
        if not _is_json(text.lstrip().partition("\n")[0]):
            place = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
            message = f"{source} is not whole JSON (it breaks at {place}): fetch it again"
            raise DataError(message) from error
        yield from _lines(text, source)
        return
    if isinstance(whole, list):
        yield from (_Raw(str(i), f"record {i}", value) for i, value in enumerate(whole))
    elif isinstance(whole, dict) and all(isinstance(value, dict) for value in whole.values()):
        yield from (_Raw(key, f"record {key!r}", value) for key, value in whole.items())
    else:
        yield _Raw("0", "line 1", whole)


def _lines(text: str, source: str) -> Iterator[_Raw]:
    # Not splitlines(), which also splits at characters that may stand inside a JSON string.
    numbered = ((number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip())
    for index, (number, line) in enumerate(numbered):
        try:
            yield _Raw(str(index), f"line {number}", json.loads(line))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{source}, line {number} is not whole JSON: fetch the file again") from error


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _validated(raws: Iterable[_Raw], schema: type[RecordT], source: str) -> dict[str, RecordT]:
    records: dict[str, RecordT] = {}
    for raw in raws:
        try:
            records[raw.key] = schema.model_validate(raw.value)
        except ValidationError as error:
            raise DataError(f"{source}, {raw.place}: {_complaint(error)}") from error
    if not records:
        raise DataError(f"{source} holds no records: fetch it again")
    return records


def _complaint(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"the key {key!r} is missing: is this the task's own file?"
    if not key:
        return "a JSON object is wanted here: is this the task's own file?"
    return f"the key {key!r} is wrong ({first['msg']}): is this the task's own file?"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
