"""Shards: splits a data set among jobs that do not communicate."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from anytime_dspy.errors import DataError

__all__ = ["DataHash", "DataShard", "Shard"]


@dataclass(frozen=True)
class Shard:
    """One of the parts into which data is split by a hash of its examples' ids.

    Attributes:
        index: Which part, counted from 1.
        count: How many parts there are.

    Raises:
        DataError: There is no such part.

    Example:
        >>> Shard.parse("3/8")
        Shard(index=3, count=8)
        >>> Shard(3, 8).takes("example 17")
        False
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            most = max(1, self.count)
            raise DataError(f"there is no shard {self}: the shards are 1/{most} to {most}/{most}")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Reads `i/n`.

        Raises:
            DataError: It is something else, or there is no such shard.
        """
        numbers = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if numbers is None:
            raise DataError(f"{text!r} is no shard: say which of how many, counted from 1, as in 3/8")
        return cls(int(numbers[1]), int(numbers[2]))

    def takes(self, example_id: str) -> bool:
        """Returns whether an example is in this part; it is in exactly one of all."""
        digest = hashlib.sha256(example_id.encode("utf-8", "replace")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1

    def of(self, example_ids: Sequence[str]) -> DataShard:
        """Returns this part of a data set.

        Args:
            example_ids: Of the whole data set, in its order.
        """
        return DataShard(self.index, self.count, len(example_ids), DataHash(example_ids).value)


@dataclass(frozen=True)
class DataShard(Shard):
    """A part of one data set: what the folder of a shard says of itself.

    Attributes:
        examples: How many there are in the whole data set.
        data: A hash of all their ids, in the order of the data.
    """

    examples: int
    data: str

    def __str__(self) -> str:
        return f"shard {self.index}/{self.count} of {self.examples} examples (data {self.data})"


class DataHash:
    """A hash of the ids of a data set, in its order.

    Args:
        example_ids: Those to begin with.
    """

    def __init__(self, example_ids: Iterable[str] = ()) -> None:
        self._hash = hashlib.sha256()
        for example_id in example_ids:
            self.add(example_id)

    def add(self, example_id: str) -> None:
        """Adds the next id."""
        self._hash.update(json.dumps(example_id).encode() + b"\n")

    @property
    def value(self) -> str:
        """The hash of those added so far."""
        return self._hash.hexdigest()[:16]
