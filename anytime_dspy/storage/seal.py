"""The lines of a run's results: each sealed with a hash of itself and of the run's description."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from pydantic import JsonValue, TypeAdapter, ValidationError

from anytime_dspy.errors import RunError
from anytime_dspy.storage.jsonl import content_hash, json_line
from anytime_dspy.storage.results import ExampleResult

__all__ = ["Seal"]

_LINE: TypeAdapter[ExampleResult] = TypeAdapter(ExampleResult)
_FIRST = b'{"id": '
_decoder = json.JSONDecoder()


class Seal:
    """Turns results into lines that are tied to their run, and back.

    Args:
        path: The file that the lines are in, for errors.
        fingerprint: All that decides a result.
    """

    def __init__(self, path: Path, fingerprint: Mapping[str, JsonValue]) -> None:
        self.path = path
        self._run = hashlib.sha256(content_hash(fingerprint).encode())
        self._size = len(self._end(b""))

    def line(self, result: ExampleResult) -> str:
        """Returns the line of a result: a JSON object whose last key is the seal."""
        kept = asdict(result)
        kept["points"] = [{"budget": one["budget"], "quality": one["quality"], **one} for one in kept["points"]]
        text = json_line(kept).rstrip("\n")
        return text[:-1] + self._end(text.encode("utf-8", "replace")).decode() + "\n"

    def read(self, number: int, line: bytes) -> ExampleResult:
        """Returns the result of a line.

        Args:
            number: Of the line, for errors.
            line: Without its end.

        Raises:
            RunError: The line is no result, was edited, or is another run's.
        """
        try:
            result = _LINE.validate_json(line, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise self._refusal(number, f"{where}: {first['msg']}" if where else first["msg"]) from error
        self._check(number, line)
        return result

    def example_id(self, number: int, line: bytes) -> str:
        """Returns the id of a line's example, and reads nothing else of it: the seal says that all of it is sound.

        Raises:
            RunError: The line is no result, was edited, or is another run's.
        """
        self._check(number, line)
        if not line.startswith(_FIRST):
            raise self._refusal(number, "its first key is not the id")
        example_id, _ = _decoder.raw_decode(line.decode(), len(_FIRST))
        return str(example_id)

    def _check(self, number: int, line: bytes) -> None:
        if line[-self._size :] != self._end(line[: -self._size] + b"}"):
            raise self._refusal(number, "it was edited, or is another run's")

    def _end(self, text: bytes) -> bytes:
        digest = self._run.copy()
        digest.update(text)
        return b', "seal": "%s"}' % digest.hexdigest()[:16].encode()

    def _refusal(self, number: int, problem: str) -> RunError:
        return RunError(f"line {number} of {self.path} is no result of this run ({problem}): restore or delete it")
