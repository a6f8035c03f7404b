"""Turns that calls take, so that each knows what the ones before it have left of a shared budget."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, InvalidStateError, TimeoutError
from contextlib import suppress

__all__ = ["CallOrder"]

PATIENCE_SECONDS = 2.0
"""How long a slot with a place waits for the ones before it. They come at once, unless the program does otherwise than
it did when it was recorded."""


class _Slot:
    """A slot, asked for and held by `with` or, without blocking the event loop, by `async with`."""

    def __init__(self, order: CallOrder, place: int | None) -> None:
        self.place = place
        self.come: Future[None] | None = None
        """Done once the slot has come; None where nobody had to wait for it."""
        self._order = order

    def __enter__(self) -> None:
        come = self._order.enter(self)
        if come is None:
            return
        try:
            try:
                come.result(self._patience)
            except TimeoutError:
                self._order.abandon()
                come.result()
        except BaseException:
            self._order.leave(self)
            raise

    async def __aenter__(self) -> None:
        asked = self._order.enter(self)
        if asked is None:
            return
        try:
            come = asyncio.wrap_future(asked)
            done, _ = await asyncio.wait([come], timeout=self._patience)
            if not done:
                self._order.abandon()
                await come
        except BaseException:
            self._order.leave(self)
            raise

    def __exit__(self, *error: object) -> None:
        self._order.leave(self)

    async def __aexit__(self, *error: object) -> None:
        self._order.leave(self)

    @property
    def _patience(self) -> float | None:
        return None if self.place is None else PATIENCE_SECONDS


class CallOrder:
    """One slot at a time, for threads and for tasks of an event loop alike.

    Turns come in the order in which they were asked for. One that has a place in a recorded order waits until all
    places before it had their slot, however fast its thread is: that is how a replay spends a budget as its recording
    did.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Slot] = []
        self._holder: _Slot | None = None
        self._next = 0
        self._ordered = True

    def slot(self, place: int | None = None) -> _Slot:
        """Returns a slot that is waited for, and held, by a `with` or an `async with` block.

        Args:
            place: Its place in the recorded order, counted from 0; None where it has none.
        """
        return _Slot(self, place)

    def abandon(self) -> None:
        """Gives up the recorded order: from here on turns come as they are asked for."""
        with self._lock:
            self._ordered = False
            self._grant()

    def enter(self, slot: _Slot) -> Future[None] | None:
        """Asks for a slot.

        Returns:
            What is done once it has come; None where it has come already.
        """
        with self._lock:
            self._waiting.append(slot)
            self._grant()
            if self._holder is not slot:
                slot.come = Future()
            return slot.come

    def leave(self, slot: _Slot) -> None:
        """Gives a slot back, or gives up waiting for it."""
        with self._lock:
            if slot is self._holder:
                self._holder = None
                self._next = max(self._next, -1 if slot.place is None else slot.place + 1)
            else:
                self._waiting.remove(slot)
            self._grant()

    def _grant(self) -> None:
        while self._holder is None:
            slot = next((slot for slot in self._waiting if self._may_come(slot)), None)
            if slot is None:
                return
            self._waiting.remove(slot)
            self._holder = slot
            if slot.come is not None:
                # A task that was cancelled while it waited holds the slot for the moment until it leaves.
                with suppress(InvalidStateError):
                    slot.come.set_result(None)

    def _may_come(self, slot: _Slot) -> bool:
        return not self._ordered or slot.place is None or slot.place <= self._next
