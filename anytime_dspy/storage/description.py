"""`run.json`: what a run's folder says of itself."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from pydantic import JsonValue

from anytime_dspy.errors import DataError, RunError
from anytime_dspy.storage.jsonl import write_json
from anytime_dspy.storage.shards import DataShard

__all__ = ["RUN", "Description", "origin", "read_description", "refuse_other_run", "write_description"]

RUN = "run.json"
SCHEMA = 2


@dataclass(frozen=True)
class Description:
    """What `run.json` says.

    Attributes:
        fingerprint: All that decides a result.
        created: When the run was begun and with which versions; it decides nothing.
        shard: The shard that the folder holds; None for a whole run.
    """

    fingerprint: dict[str, JsonValue]
    created: dict[str, JsonValue]
    shard: DataShard | None = None


def write_description(folder: Path, description: Description) -> None:
    """Writes `run.json`.

    Raises:
        RunError: It cannot be written.
    """
    shard = {"shard": asdict(description.shard)} if description.shard else {}
    said = {"schema": SCHEMA, "fingerprint": description.fingerprint, "created": description.created, **shard}
    write_json(folder / RUN, said)


def read_description(folder: Path) -> Description:
    """Reads `run.json`.

    Raises:
        RunError: It is damaged, or of another schema.
        OSError: It cannot be read.
    """
    path = folder / RUN
    try:
        run = json.loads(path.read_bytes())
        shard = DataShard(**run["shard"]) if "shard" in run else None
        schema, description = int(run["schema"]), Description(dict(run["fingerprint"]), dict(run["created"]), shard)
    except (ValueError, KeyError, TypeError, RecursionError, DataError) as error:
        raise RunError(f"{path} is damaged ({error!r}): restore it or choose another folder") from error
    if schema > SCHEMA:
        raise RunError(f"{path} has schema {schema}, this version knows up to {SCHEMA}: update anytime-dspy")
    if schema < SCHEMA:
        raise RunError(f"{path} has schema {schema}, which is no longer read: measure again in another folder")
    return description


def refuse_other_run(folder: Path, found: Description, wanted: Description) -> None:
    """Refuses a folder whose run is not the one that is wanted.

    Raises:
        RunError: It names the first difference.
    """
    for key in dict.fromkeys([*wanted.fingerprint, *found.fingerprint]):
        there, here = (
            json.dumps(run.fingerprint[key]) if key in run.fingerprint else "nothing" for run in (found, wanted)
        )
        if there != here:
            raise RunError(f"{folder} holds another run: its {key} is {there}, not {here}; choose another folder")
    if found.shard != wanted.shard:
        there, here = (str(run.shard or "no shard") for run in (found, wanted))
        raise RunError(f"{folder} holds another run: it is {there}, not {here}; choose another folder")


def origin() -> dict[str, JsonValue]:
    """Returns who writes a run, for its reader."""
    return {
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        **{name: version(name) for name in ("anytime-dspy", "dspy", "litellm")},
    }
