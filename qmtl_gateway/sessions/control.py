"""Follows the control stream: every event of every world, in the order in which they were told.

When the consumer is lost (a restarted broker forgets it), every world is closed, and read anew once there is another.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Final

from opentelemetry.trace import SpanKind

from qmtl_foundation import tracing
from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.errors import QmtlError
from qmtl_foundation.jetstream.bus import Bus
from qmtl_foundation.jetstream.ordered import Delivered, reading
from qmtl_foundation.jetstream.streams import ALL_EVENTS, CONTROL, control_stream
from qmtl_gateway.sessions.follow import Resync
from qmtl_gateway.sessions.gates import Gates
from qmtl_gateway.sessions.messages import from_event

RETRY_SECONDS: Final = 0.5

_log = logging.getLogger(__name__)


class Control:
    """Hand the control stream's events to the gates."""

    def __init__(self, bus: Bus, gates: Gates, replicas: int) -> None:
        self._bus = bus
        self._gates = gates
        self._replicas = replicas

    async def run(self) -> None:
        """Follow until cancelled, on a new consumer whenever one is lost."""
        while True:
            heed_cancellation()
            try:
                await self._follow()
            except QmtlError as error:
                _log.warning("following the control stream: %s", error)
            except Exception:  # a fault of ours must not end the gateway: its gates are closed
                _log.exception("following the control stream")
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        await self._bus.ensure_stream(control_stream(self._replicas))
        async with reading(self._bus, CONTROL, ALL_EVENTS) as reader:
            self._gates.subscribed()
            try:
                async for delivered in reader:
                    self._take(delivered)
            finally:
                self._gates.unsubscribed()

    def _take(self, delivered: Delivered) -> None:
        world = delivered.subject.rpartition(".")[2]
        try:
            event = from_event(delivered.payload)
        except (ValueError, QmtlError) as error:
            _log.error("place %d of the control stream, world %s: %s", delivered.position, world, error)
            self._gates.doubt(world, Resync.GAP)
            return
        if event.gate.world == world:
            with tracing.span(f"hear {event.gate.phase}", delivered.trace, SpanKind.CONSUMER, {"qmtl.world": world}):
                self._gates.take(replace(event, trace=tracing.current()))
        else:
            _log.error("place %d of the control stream names world %r", delivered.position, event.gate.world)
            self._gates.doubt(world, Resync.GAP)
