"""The order of the calls under one budget: one at a time, so that each knows what the earlier ones have left."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, InvalidStateError, TimeoutError
from contextlib import suppress

__all__ = ["CallOrder"]

PATIENCE_SECONDS = 2.0
"""How long a slot with a recorded place waits for the earlier places. They come at once, unless the program takes
another path than it took when it was recorded."""


class _Slot:
    """The right to run, held by a `with` or an `async with` block."""

    def __init__(self, order: CallOrder, place: int | None, waits: bool) -> None:
        self.place = place
        self._waits = waits
        self.granted: Future[None] | None = None
        """Done once the slot may run; None if it did not have to wait."""
        self._order = order

    def __enter__(self) -> None:
        granted = self._order.enter(self)
        if granted is None:
            return
        try:
            try:
                granted.result(self._patience)
            except TimeoutError:
                self._order.abandon_recording()
                granted.result()
        except BaseException:
            self._order.leave(self)
            raise

    async def __aenter__(self) -> None:
        if not self._waits:
            self.__enter__()
            return
        entered = self._order.enter(self)
        if entered is None:
            return
        try:
            granted = asyncio.wrap_future(entered)
            done, _ = await asyncio.wait([granted], timeout=self._patience)
            if not done:
                self._order.abandon_recording()
                await granted
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
    """Runs one call at a time, for threads and for tasks of an event loop alike.

    Calls run in the order in which they enter. A call with a place in a recorded order also waits for all earlier
    places, however fast its thread is, so that a replay spends the budget as the recorded run did.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Slot] = []
        self._holder: _Slot | None = None
        self._next = 0
        self._is_recorded = True

    def slot(self, place: int | None = None, *, waits: bool = True) -> _Slot:
        """Returns a slot, which is waited for and held by a `with` or an `async with` block.

        Args:
            place: Its place in the recorded order, counted from 0; None if it was not recorded.
            waits: Whether `async with` leaves the event loop free while it waits; otherwise it blocks as `with` does.
        """
        return _Slot(self, place, waits)

    def abandon_recording(self) -> None:
        """Gives up the recorded order: from now on slots run in the order in which they enter."""
        with self._lock:
            self._is_recorded = False
            self._grant()

    def enter(self, slot: _Slot) -> Future[None] | None:
        """Puts a slot in the queue.

        Returns:
            A future that is done once the slot may run; None if it may run at once.
        """
        with self._lock:
            self._waiting.append(slot)
            self._grant()
            if self._holder is not slot:
                slot.granted = Future()
            return slot.granted

    def leave(self, slot: _Slot) -> None:
        """Releases a slot, or stops waiting for it."""
        with self._lock:
            if slot is self._holder:
                self._holder = None
                self._next = max(self._next, -1 if slot.place is None else slot.place + 1)
            else:
                self._waiting.remove(slot)
            self._grant()

    def _grant(self) -> None:
        while self._holder is None:
            slot = next((slot for slot in self._waiting if self._may_run(slot)), None)
            if slot is None:
                return
            self._waiting.remove(slot)
            self._holder = slot
            if slot.granted is not None:
                # A task that was cancelled while it waited holds the slot until it leaves, at once.
                with suppress(InvalidStateError):
                    slot.granted.set_result(None)

    def _may_run(self, slot: _Slot) -> bool:
        return not self._is_recorded or slot.place is None or slot.place <= self._next
