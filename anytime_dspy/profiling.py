"""The wall time of a command by phase."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import dspy

__all__ = ["Profile", "phase", "profiled"]


class Profile:
    """Wall time by phase, in the order in which the phases were first entered.

    Attributes:
        seconds: Seconds by phase; those of a nested phase do not count for the outer one.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside: list[float] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the time of the `with` block to a phase. All phases must be entered by the same thread."""
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
    """Yields a profile of all phases inside the `with` block.

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
    """Adds the time of the `with` block to a phase of the surrounding profile, if there is one."""
    profile = dspy.settings.get("anytime_profile", None)
    if isinstance(profile, Profile):
        with profile.phase(name):
            yield
    else:
        yield
