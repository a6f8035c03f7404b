"""Turns that calls take, so that each knows what the ones before it have left of a shared budget."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, InvalidStateError, TimeoutError
from contextlib import suppress

__all__ = ["Turns"]

PATIENCE_SECONDS = 2.0
"""How long a turn with a place waits for the ones before it. They come at once, unless the program does otherwise than
it did when it was recorded."""


class _Turn:
    """A turn, asked for and held by `with` or, without blocking the event loop, by `async with`."""

    def __init__(self, turns: Turns, place: int | None) -> None:
        self.place = place
        self.come: Future[None] | None = None
        """Done once the turn has come; None where nobody had to wait for it."""
        self._turns = turns

    def __enter__(self) -> None:
        come = self._turns.ask(self)
        if come is None:
            return
        try:
            try:
                come.result(self._patience)
            except TimeoutError:
                self._turns.disorder()
                come.result()
        except BaseException:
            self._turns.leave(self)
            raise

    async def __aenter__(self) -> None:
        asked = self._turns.ask(self)
        if asked is None:
            return
        try:
            come = asyncio.wrap_future(asked)
            done, _ = await asyncio.wait([come], timeout=self._patience)
            if not done:
                self._turns.disorder()
                await come
        except BaseException:
            self._turns.leave(self)
            raise

    def __exit__(self, *error: object) -> None:
        self._turns.leave(self)

    async def __aexit__(self, *error: object) -> None:
        self._turns.leave(self)

    @property
    def _patience(self) -> float | None:
        return None if self.place is None else PATIENCE_SECONDS


class Turns:
    """One turn at a time, for threads and for tasks of an event loop alike.

    Turns come in the order in which they were asked for. One that has a place in a recorded order waits until all
    places before it had their turn, however fast its thread is: that is how a replay spends a budget as its recording
    did.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Turn] = []
        self._holder: _Turn | None = None
        self._next = 0
        self._ordered = True

    def take(self, place: int | None = None) -> _Turn:
        """Returns a turn that is waited for, and held, by a `with` or an `async with` block.

        Args:
            place: Its place in the recorded order, counted from 0; None where it has none.
        """
        return _Turn(self, place)

    def disorder(self) -> None:
        """Gives up the recorded order: from here on turns come as they are asked for."""
        with self._lock:
            self._ordered = False
            self._grant()

    def ask(self, turn: _Turn) -> Future[None] | None:
        """Asks for a turn.

        Returns:
            What is done once it has come; None where it has come already.
        """
        with self._lock:
            self._waiting.append(turn)
            self._grant()
            if self._holder is not turn:
                turn.come = Future()
            return turn.come

    def leave(self, turn: _Turn) -> None:
        """Gives a turn back, or gives up waiting for it."""
        with self._lock:
            if turn is self._holder:
                self._holder = None
                self._next = max(self._next, -1 if turn.place is None else turn.place + 1)
            else:
                self._waiting.remove(turn)
            self._grant()

    def _grant(self) -> None:
        while self._holder is None:
            turn = next((turn for turn in self._waiting if self._may_come(turn)), None)
            if turn is None:
                return
            self._waiting.remove(turn)
            self._holder = turn
            if turn.come is not None:
                # A task that was cancelled while it waited holds the turn for the moment until it leaves.
                with suppress(InvalidStateError):
                    turn.come.set_result(None)

    def _may_come(self, turn: _Turn) -> bool:
        return not self._ordered or turn.place is None or turn.place <= self._next
