"""Where the seconds of a command went: wall time by phase, for whoever asks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import dspy

__all__ = ["Profile", "phase", "profiled"]


class Profile:
    """Wall time by the name of a phase, in the order in which phases were first met.

    Attributes:
        seconds: Seconds by phase; a phase inside another one is not counted to the outer one.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside: list[float] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts what is done inside the `with` block to a phase. Phases are entered by one thread."""
        self._inside.append(0.0)
        begun = time.perf_counter()
        try:
            yield
        finally:
            whole, inner = time.perf_counter() - begun, self._inside.pop()
            self.seconds[name] = self.seconds.get(name, 0.0) + whole - inner
            if self._inside:
                self._inside[-1] += whole


@contextmanager
def profiled() -> Iterator[Profile]:
    """Yields a profile to which all phases inside the `with` block are counted.

    Example:
        >>> with profiled() as profile, phase("sampling"):
        ...     pass
        >>> list(profile.seconds)
        ['sampling']
    """
    profile = Profile()
    with dspy.context(anytime_profile=profile):
        yield profile


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Counts what is done inside the `with` block to a phase, where somebody profiles."""
    profile = dspy.settings.get("anytime_profile", None)
    if isinstance(profile, Profile):
        with profile.phase(name):
            yield
    else:
        yield
