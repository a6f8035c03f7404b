"""Turns come in order: as they were asked for, or as they were recorded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from anytime_dspy.runtime import call_order
from anytime_dspy.runtime.call_order import CallOrder


class Heard(CallOrder):
    """Says when somebody has asked for a turn."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = threading.Semaphore(0)

    def enter(self, slot):
        come = super().enter(slot)
        self.asked.release()
        return come


def started(function: Callable[..., None], *args: object) -> threading.Thread:
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


def test_threads_have_their_turns_in_the_order_in_which_they_asked():
    order, met = Heard(), []

    def ask(n: int) -> None:
        with order.slot():
            met.append(n)

    threads = []
    with order.slot():
        order.asked.acquire()
        for n in range(20):
            threads.append(started(ask, n))
            order.asked.acquire()
        assert not met
    for thread in threads:
        thread.join()
    assert met == list(range(20))


@pytest.mark.parametrize("places", [[3, 0, 2, 1], [1, 0, 3, 2], [3, 2, 1, 0]])
def test_a_recorded_order_is_kept_whoever_asks_first(places):
    order, met = Heard(), []

    def ask(place: int) -> None:
        with order.slot(place):
            met.append(place)

    threads = []
    for place in places:
        threads.append(started(ask, place))
        order.asked.acquire()
    for thread in threads:
        thread.join()
    assert met == [0, 1, 2, 3]


def test_tasks_and_threads_share_their_turns():
    order, met = CallOrder(), []

    async def ask(place: int) -> None:
        async with order.slot(place):
            await asyncio.sleep(0)
            met.append(place)

    def from_a_thread() -> None:
        with order.slot(2):
            met.append(2)

    async def run() -> None:
        await asyncio.gather(ask(3), ask(1), asyncio.to_thread(from_a_thread), ask(0))

    asyncio.run(run())
    assert met == [0, 1, 2, 3]


def test_a_turn_that_was_not_recorded_does_not_wait():
    order = CallOrder()
    with order.slot():
        pass
    with order.slot(0):
        pass
    with order.slot():
        pass


def test_an_order_is_given_up_where_the_one_before_never_comes(monkeypatch):
    monkeypatch.setattr(call_order, "PATIENCE_SECONDS", 0.01)
    order = CallOrder()
    with order.slot(5):
        pass
    monkeypatch.setattr(call_order, "PATIENCE_SECONDS", 3600)
    for place in (9, 7, 8):  # once given up, nothing waits any more
        with order.slot(place):
            pass

    monkeypatch.setattr(call_order, "PATIENCE_SECONDS", 0.01)

    async def run() -> None:
        async with CallOrder().slot(5):
            pass

    asyncio.run(run())


def test_a_turn_is_given_back_by_an_error_and_by_a_task_that_is_cancelled():
    order = CallOrder()

    async def ask() -> str:
        async with order.slot():
            return "came"

    async def run() -> str:
        with pytest.raises(ZeroDivisionError):
            async with order.slot():
                raise ZeroDivisionError
        async with order.slot():
            first, second = asyncio.ensure_future(ask()), asyncio.ensure_future(ask())
            await asyncio.sleep(0)
            first.cancel()
        return await second

    assert asyncio.run(run()) == "came"
