"""Tells the world service that this gateway did its part of a world's newest event, until it is answered.

FREEZE: once the gate is closed, publishes in flight have ended, and each runner acknowledged or lost its lease.
SWITCH: when the set is known. UNFREEZE: when the gate is open. A newer event of the world takes the place of an older.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from qmtl_foundation import tracing
from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.errors import UNANSWERED, QmtlError
from qmtl_gateway.sessions.holders import Holders
from qmtl_gateway.sessions.model import Event, Gate, Phase

REPEAT_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class Acknowledgements:
    """Acknowledge events. ``drained`` ends when no publish of a world that began before is in flight any more."""

    def __init__(
        self,
        send: Callable[[Gate], Awaitable[None]],
        drained: Callable[[str], Awaitable[None]],
        holders: Holders,
    ) -> None:
        self._send = send
        self._drained = drained
        self._holders = holders
        self._newest: dict[str, Gate] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._heard: dict[str, asyncio.Event] = {}

    def begin(self, event: Event) -> None:
        """Acknowledge an event that was applied; the same again goes on as it is."""
        gate = event.gate
        newest = self._newest.get(gate.world)
        if newest is not None and gate.sequence <= newest.sequence:
            return
        self._newest[gate.world] = gate
        if gate.world in self._tasks:
            self._tasks[gate.world].cancel()
        if gate.run_id:
            self._heard[gate.world] = asyncio.Event()
            self._tasks[gate.world] = asyncio.create_task(self._acknowledge(gate, event.trace))

    def heard(self, world: str) -> None:
        """Look again who of a world is awaited: a runner acknowledged."""
        if world in self._heard:
            self._heard[world].set()

    async def run(self) -> None:
        """Acknowledge until cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            for task in self._tasks.values():
                task.cancel()

    async def _acknowledge(self, gate: Gate, trace: str) -> None:
        try:
            with tracing.span(f"acknowledge {gate.phase}", trace, attributes={"qmtl.world": gate.world}):
                if gate.phase is Phase.FREEZE:
                    await self._drained(gate.world)
                    await self._released(gate, self._heard[gate.world])
                await self._repeat(gate)
        except Exception:  # a fault of ours must not end the gateway: the run goes on without it when its time is over
            _log.exception("acknowledging %s of world %s", gate.phase, gate.world)

    async def _released(self, gate: Gate, heard: asyncio.Event) -> None:
        """Return when every runner acknowledged, or its lease is over."""
        while awaited := self._holders.awaited(gate.world, gate.sequence):
            heard.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(awaited.values())):
                    await heard.wait()

    async def _repeat(self, gate: Gate) -> None:
        """Tell the world service until it answers; a refusal is an answer."""
        while True:
            heed_cancellation()
            try:
                await self._send(gate)
            except QmtlError as error:
                _log.info("%s %d of world %s is not acknowledged: %s", gate.phase, gate.sequence, gate.world, error)
                if error.reason in UNANSWERED:
                    await asyncio.sleep(REPEAT_SECONDS)
                    continue
            return
