"""What fakes were asked and not scripted for.

Library code may have good reasons to go on after an engine's error, so the error alone fails no test. It is noted here
too, and the fixture `nothing_unscripted` fails the test at its end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Notes:
    """What was noted since the last `clear`. A fake may be asked in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._met: list[str] = []

    def clear(self) -> None:
        with self._lock:
            self._met.clear()

    def refuse(self) -> None:
        """Fails where something was noted.

        Raises:
            AssertionError: It names the first of it.
        """
        with self._lock:
            met = list(self._met)
        assert not met, f"a fake met {len(met)} requests that it was not scripted for, the first: {met[0]}"

    @contextmanager
    def taken(self, asked: str, planted: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Notes what a script raises, unless it is a fault that a test plants.

        Args:
            asked: What the script was asked.
            planted: The errors that tests plant.
        """
        try:
            yield
        except planted:
            raise
        except Exception as error:
            with self._lock:
                self._met.append(f"{type(error).__name__}: {error}, asked: {asked[-400:]}")
            raise


unscripted = Notes()
