"""Publishes under way: a world is drained once those have ended that were under way, however they ended."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from qmtl_gateway.orders.flights import Flights


async def settled(task: asyncio.Task[Any]) -> bool:
    """Tell whether a task has ended once the event loop has nothing left to do for it."""
    for _ in range(10):
        await asyncio.sleep(0)
    return task.done()


def draining(flights: Flights, world: str = "equity") -> asyncio.Task[None]:
    work: Coroutine[Any, Any, None] = flights.drained(world)
    return asyncio.create_task(work)


async def test_a_world_without_flights_is_drained() -> None:
    assert await settled(draining(Flights()))


async def test_what_was_launched_counts_before_it_has_begun() -> None:
    flights, answer = Flights(), asyncio.get_running_loop().create_future()

    async def publish() -> int:
        return int(await answer)

    flight, waiting = flights.launch("equity", publish()), draining(flights)
    assert not await settled(waiting)
    answer.set_result(5)
    assert await flight == 5
    assert await settled(waiting)


async def test_all_flights_of_the_world_are_awaited_and_none_of_another() -> None:
    flights, ends, foreign = Flights(), [asyncio.Event() for _ in range(20)], asyncio.Event()
    for end in ends:
        flights.launch("equity", end.wait())
    flights.launch("macro", foreign.wait())
    waiting = draining(flights)
    for end in ends:
        assert not await settled(waiting)
        end.set()
    assert await settled(waiting)
    assert not await settled(draining(flights, "macro"))
    foreign.set()


async def test_what_begins_after_a_drain_is_not_awaited_by_it() -> None:
    flights, first, later = Flights(), asyncio.Event(), asyncio.Event()
    flights.launch("equity", first.wait())
    waiting = draining(flights)
    await asyncio.sleep(0)
    flights.launch("equity", later.wait())
    first.set()
    assert await settled(waiting)
    assert not await settled(draining(flights))
    later.set()


async def test_a_flight_outlives_its_caller() -> None:
    flights, end = Flights(), asyncio.Event()
    flight = flights.launch("equity", end.wait())

    async def call() -> None:
        await asyncio.shield(flight)

    caller = asyncio.create_task(call())
    await asyncio.sleep(0)
    caller.cancel()
    waiting = draining(flights)
    assert not await settled(waiting)
    end.set()
    assert await settled(waiting)


async def test_a_flight_that_fails_or_is_cancelled_has_ended() -> None:
    flights, end = Flights(), asyncio.Event()

    async def fail() -> None:
        await end.wait()
        raise ConnectionError

    failing, cancelled = flights.launch("equity", fail()), flights.launch("equity", asyncio.Event().wait())
    waiting = draining(flights)
    cancelled.cancel()
    assert not await settled(waiting)
    end.set()
    assert await settled(waiting)
    with pytest.raises(ConnectionError):
        await failing
