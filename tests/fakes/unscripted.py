"""What fakes were asked and not scripted for.

Library code may have good reasons to go on after an engine's error, so the error alone fails no test. It is noted here
too, and the fixture `nothing_unscripted` fails the test at its end.
"""

from __future__ import annotations

import logging
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

    def note(self, met: str) -> None:
        """Notes a request that no script had a reply to."""
        with self._lock:
            self._met.append(met)

    @contextmanager
    def taken(self, asked: str) -> Iterator[None]:
        """Notes what a script raises inside the block.

        Args:
            asked: What the script was asked.
        """
        try:
            yield
        except Exception as error:
            self.note(f"{type(error).__name__}: {error}, asked: {asked[-400:]}")
            raise


class _Listener(logging.Handler):
    """Notes what a `ScriptedEngine` logs where its script has no reply."""

    def emit(self, record: logging.LogRecord) -> None:
        unscripted.note(record.getMessage())


unscripted = Notes()
logging.getLogger("anytime_dspy.testing.scripted").addHandler(_Listener())
