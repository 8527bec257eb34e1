"""Reads one world's part of the order stream: its marks and this executor's intents, from a place on.

A reading ends where something may have been lost, and the reader begins anew behind what it has settled. Nothing rests
on redelivery.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from qmtl_executor.messages import read_intent, read_mark
from qmtl_executor.model import Message
from qmtl_foundation.jetstream import ordered
from qmtl_foundation.jetstream.bus import Bus
from qmtl_foundation.jetstream.streams import ORDERS, intent_subject, mark_subject


@asynccontextmanager
async def reading(bus: Bus, world: str, executor: str, position: int) -> AsyncIterator[Reader]:
    """Yield a reader of what stands behind ``position``."""
    subjects = mark_subject(world), intent_subject(world, executor)
    async with ordered.reading(bus, ORDERS, *subjects, after=position) as reader:
        yield Reader(bus, world, reader)


class Reader:
    """Read messages, oldest first."""

    def __init__(self, bus: Bus, world: str, reader: ordered.OrderedReader) -> None:
        self._bus = bus
        self._world = world
        self._reader = reader

    @property
    def behind(self) -> int:
        """Return how many messages the stream had behind the newest delivery."""
        return self._reader.behind

    async def quiet_until(self) -> int:
        """Return a place up to which the stream has nothing more for this reader; 0 where it may have."""
        state = await self._bus.state(ORDERS)  # first: what comes in between stands behind it
        return state.last if await self._reader.is_quiet() else 0

    async def next(self) -> Message | None:
        """Return the next message; None at a heartbeat, when there is none.

        Raises QmtlError(DEPENDENCY_UNAVAILABLE) where a delivery may have been lost: begin anew.
        """
        delivered = await self._reader.next()
        if delivered is None:
            return None
        read = read_mark if delivered.subject == mark_subject(self._world) else read_intent
        return Message(delivered.position, read(delivered.payload, self._world), delivered.trace)
