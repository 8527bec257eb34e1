"""The order stream as the gateway writes it: intents in their order, as long as there is room left for marks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.jetstream.bus import Bus
from qmtl_foundation.jetstream.streams import MARK_HEADROOM_BYTES, ORDERS, intent_subject, order_stream
from qmtl_gateway.orders.model import Intent

MEASURE_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class OrderStream:
    """Store intents."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._full = False

    async def open(self, replicas: int) -> None:
        """Make the stream, or leave it when it stands, and measure it."""
        await self._bus.ensure_stream(order_stream(replicas))
        await self.measure()

    async def follow(self) -> None:
        """Measure each second until cancelled: a second's intents are far less than the headroom."""
        while True:
            heed_cancellation()
            await asyncio.sleep(MEASURE_SECONDS)
            try:
                await self.measure()
            except QmtlError as error:
                _log.warning("measuring the order stream: %s; it counts as it was", error)

    async def measure(self) -> None:
        """Read how much of the stream is used."""
        fill = await self._bus.fill(ORDERS)
        full = fill.used_bytes > fill.max_bytes - MARK_HEADROOM_BYTES
        if full and not self._full:
            _log.error("the order stream is full but for marks: %d of %d bytes", fill.used_bytes, fill.max_bytes)
        self._full = full

    def check_room(self) -> None:
        """Raise ORDER_STREAM_FULL when what is left is for marks."""
        if self._full:
            raise QmtlError(
                Reason.ORDER_STREAM_FULL,
                "the order stream is nearly full; what is left is for marks. It is purged as executors settle: "
                "`qmtl executor list` shows who is behind",
                metadata={"stream": ORDERS},
            )

    async def store(self, intents: Sequence[Intent]) -> list[int]:
        """Store intents of one world and executor, and return the place of each.

        Without ``Nats-Msg-Id``: its window would swallow the repetition after a fence. Raises DEPENDENCY_UNAVAILABLE,
        after which any of them may be stored, now or later.
        """
        first = intents[0]
        return await self._bus.publish_all(
            intent_subject(first.world, first.executor), [each.content for each in intents]
        )
