"""Turns come in order: as they were asked for, or as they were recorded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from anytime_dspy.runtime import call_order as turns
from anytime_dspy.runtime.call_order import Turns


class Heard(Turns):
    """Says when somebody has asked for a turn."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Semaphore(0)

    def ask(self, turn):
        come = super().ask(turn)
        self.asked.release()
        return come


def started(function: Callable[..., None], *args: object) -> threading.Thread:
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


def test_threads_have_their_turns_in_the_order_in_which_they_asked():
    queue, met = Heard(), []

    def ask(n: int) -> None:
        with queue.take():
            met.append(n)

    threads = []
    with queue.take():
        queue.asked.acquire()
        for n in range(20):
            threads.append(started(ask, n))
            queue.asked.acquire()
        assert not met
    for thread in threads:
        thread.join()
    assert met == list(range(20))


@pytest.mark.parametrize("places", [[3, 0, 2, 1], [1, 0, 3, 2], [3, 2, 1, 0]])
def test_a_recorded_order_is_kept_whoever_asks_first(places):
    queue, met = Heard(), []

    def ask(place: int) -> None:
        with queue.take(place):
            met.append(place)

    threads = []
    for place in places:
        threads.append(started(ask, place))
        queue.asked.acquire()
    for thread in threads:
        thread.join()
    assert met == [0, 1, 2, 3]


def test_tasks_and_threads_share_their_turns():
    queue, met = Turns(), []

    async def ask(place: int) -> None:
        async with queue.take(place):
            await asyncio.sleep(0)
            met.append(place)

    def from_a_thread() -> None:
        with queue.take(2):
            met.append(2)

    async def run() -> None:
        await asyncio.gather(ask(3), ask(1), asyncio.to_thread(from_a_thread), ask(0))

    asyncio.run(run())
    assert met == [0, 1, 2, 3]


def test_a_turn_that_was_not_recorded_does_not_wait():
    queue = Turns()
    with queue.take():
        pass
    with queue.take(0):
        pass
    with queue.take():
        pass


def test_an_order_is_given_up_where_the_one_before_never_comes(monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE_SECONDS", 0.01)
    queue = Turns()
    with queue.take(5):
        pass
    monkeypatch.setattr(turns, "PATIENCE_SECONDS", 3600)
    for place in (9, 7, 8):  # once given up, nothing waits any more
        with queue.take(place):
            pass

    monkeypatch.setattr(turns, "PATIENCE_SECONDS", 0.01)

    async def run() -> None:
        async with Turns().take(5):
            pass

    asyncio.run(run())


def test_a_turn_is_given_back_by_an_error_and_by_a_task_that_is_cancelled():
    queue = Turns()

    async def ask() -> str:
        async with queue.take():
            return "came"

    async def run() -> str:
        with pytest.raises(ZeroDivisionError):
            async with queue.take():
                raise ZeroDivisionError
        async with queue.take():
            first, second = asyncio.ensure_future(ask()), asyncio.ensure_future(ask())
            await asyncio.sleep(0)
            first.cancel()
        return await second

    assert asyncio.run(run()) == "came"
