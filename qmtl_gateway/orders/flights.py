"""Publishes under way, by world: a gate is closed for good once those that passed it have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Flights:
    """Keep what was let through a gate until it is known to have ended, whether or not its caller still waits.

    A caller checks the gate and launches without an await between: the gate changes on the same event loop, so what
    passed is counted before a FREEZE can be applied, and ``drained`` after one misses nothing.
    """

    def __init__(self) -> None:
        self._under_way: dict[str, set[asyncio.Task[Any]]] = {}

    def launch(self, world: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin work that counts as under way in a world, from now until it ends; cancel it and it ends unclear."""
        flight = asyncio.create_task(work)
        self._under_way.setdefault(world, set()).add(flight)
        flight.add_done_callback(lambda ended: self._land(world, ended))
        return flight

    async def drained(self, world: str) -> None:
        """Return when everything has ended that is under way in the world now; what begins later is not awaited."""
        under_way = self._under_way.get(world)
        if under_way:
            await asyncio.wait(tuple(under_way))

    def _land(self, world: str, flight: asyncio.Task[Any]) -> None:
        under_way = self._under_way[world]
        under_way.discard(flight)
        if not under_way:
            del self._under_way[world]
        if not flight.cancelled():
            flight.exception()  # a caller that has gone does not ask for it, and asyncio would complain
