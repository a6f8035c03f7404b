"""Turns that calls take, so that each knows what the ones before it have left of a shared budget."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, InvalidStateError, TimeoutError
from contextlib import asynccontextmanager, contextmanager, suppress

__all__ = ["Turns"]

PATIENCE_SECONDS = 2.0
"""How long a turn with a place waits for the ones before it. They come at once, unless the program does otherwise than
it did when it was recorded."""


class _Ticket:
    """A turn that was asked for; its future is done once the turn has come."""

    def __init__(self, place: int | None) -> None:
        self.place = place
        self.come: Future[None] = Future()


class Turns:
    """One turn at a time, for threads and for tasks of an event loop alike.

    Turns come in the order in which they were asked for. One that has a place in a recorded order waits until all
    places before it had their turn, however fast its thread is: that is how a replay spends a budget as its recording
    did.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Ticket] = []
        self._holder: _Ticket | None = None
        self._next = 0
        self._ordered = True

    @contextmanager
    def take(self, place: int | None = None) -> Iterator[None]:
        """Waits for a turn and holds it inside the `with` block.

        Args:
            place: Its place in the recorded order, counted from 0; None where it has none.
        """
        ticket = self._ask(place)
        try:
            try:
                ticket.come.result(_patience(ticket))
            except TimeoutError:
                self.disorder()
                ticket.come.result()
            yield
        finally:
            self._leave(ticket)

    @asynccontextmanager
    async def take_async(self, place: int | None = None) -> AsyncIterator[None]:
        """Waits for a turn without blocking the event loop, and holds it inside the `async with` block."""
        ticket = self._ask(place)
        try:
            if not ticket.come.done():
                come = asyncio.wrap_future(ticket.come)
                done, _ = await asyncio.wait([come], timeout=_patience(ticket))
                if not done:
                    self.disorder()
                    await come
            yield
        finally:
            self._leave(ticket)

    def disorder(self) -> None:
        """Gives up the recorded order: from here on turns come as they are asked for."""
        with self._lock:
            self._ordered = False
            self._grant()

    def _ask(self, place: int | None) -> _Ticket:
        ticket = _Ticket(place)
        with self._lock:
            self._waiting.append(ticket)
            self._grant()
        return ticket

    def _leave(self, ticket: _Ticket) -> None:
        with self._lock:
            if ticket is self._holder:
                self._holder = None
                self._next = max(self._next, -1 if ticket.place is None else ticket.place + 1)
            else:
                self._waiting.remove(ticket)
            self._grant()

    def _grant(self) -> None:
        while self._holder is None:
            ticket = next((ticket for ticket in self._waiting if self._may_come(ticket)), None)
            if ticket is None:
                return
            self._waiting.remove(ticket)
            self._holder = ticket
            # A task that was cancelled while it waited holds the turn for the moment until it leaves.
            with suppress(InvalidStateError):
                ticket.come.set_result(None)

    def _may_come(self, ticket: _Ticket) -> bool:
        return not self._ordered or ticket.place is None or ticket.place <= self._next


def _patience(ticket: _Ticket) -> float | None:
    return None if ticket.place is None else PATIENCE_SECONDS
