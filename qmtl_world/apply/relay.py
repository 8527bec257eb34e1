"""Relays the outbox to the control stream: in order, each event once, never over a stream that went another way.

Before an event is published, the last message of its subject is read. This event or a later one of the world: it is
there already. Its predecessor (or nothing, for the first): published, on condition that nothing came in between.
Anything else: the stream and the database disagree; that world is held: its events stop until an operator has looked
and started a replica again, which tries once more. The hold stands in the database: log, metrics and ``GetActivation``
of every replica say so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import nats.js.errors
from opentelemetry.metrics import CallbackOptions, Meter, Observation

from qmtl_foundation.clock import Clock
from qmtl_foundation.errors import QmtlError
from qmtl_foundation.jetstream import Bus, StreamSpec
from qmtl_foundation.jetstream.bus import translated_errors
from qmtl_foundation.postgres import transaction
from qmtl_foundation.postgres.pool import Connection, Pool

STREAM: Final = "control"
EVENT_ID: Final = "Qmtl-Event-Id"
BATCH: Final = 200
POLL_SECONDS: Final = 0.05
RETRY_SECONDS: Final = 1.0
ASTRAY_HOLD: Final = "control_stream_astray"

# One relay at a time: whoever holds the lock. How long events have been waiting, every replica knows.
_BEGIN = """
SELECT pg_try_advisory_xact_lock(7309940231) AS locked,
       (SELECT min(create_time) FROM outbox WHERE publish_time IS NULL) AS oldest
"""
_NEXT = """
SELECT id, event_id, world, sequence, subject, payload
FROM outbox WHERE publish_time IS NULL AND NOT world = ANY($1::text[]) ORDER BY id LIMIT $2
"""
_HELD = "SELECT world, reason FROM hold ORDER BY world"
_HOLD = "INSERT INTO hold (world, reason) VALUES ($1, $2) ON CONFLICT (world) DO NOTHING"
_LIFT = "DELETE FROM hold WHERE world = $1"
_SEQUENCE = "SELECT sequence FROM outbox WHERE world = $1 AND event_id = $2"
_PUBLISHED = "UPDATE outbox SET publish_time = now() WHERE id = $1"

_log = logging.getLogger(__name__)


class Turn(StrEnum):
    """Say what a subject's last message means for the next event."""

    THERE = "there"
    NEXT = "next"
    ASTRAY = "astray"


@dataclass(frozen=True, slots=True)
class Last:
    """Hold a subject's last message: its event id and its place in the stream; empty and 0 when there is none."""

    event_id: str = ""
    stream_sequence: int = 0


def turn(sequence: int, last: int | None) -> Turn:
    """Judge where an event stands, by its sequence in the world and that of the subject's last message.

    ``last`` is 0 when the subject is empty, None when its last message is none of the world's events.
    """
    if last is None or sequence > last + 1:
        return Turn.ASTRAY
    return Turn.NEXT if sequence == last + 1 else Turn.THERE


class Relay:
    """Publish what the outbox holds."""

    def __init__(self, pool: Pool, bus: Bus, replicas: int, clock: Clock) -> None:
        self._pool = pool
        self._bus = bus
        self._replicas = replicas
        self._clock = clock
        self._held: dict[str, str] = {}  # reasons by world, as of the last look
        self._tried_again: frozenset[str] = frozenset()
        self._oldest: datetime | None = None

    async def open(self) -> None:
        """Make the control stream, or leave it when it stands; worlds that are held now are tried once more."""
        await self._bus.ensure_stream(StreamSpec(STREAM, (f"{STREAM}.>",), replicas=self._replicas))
        async with transaction(self._pool) as connection:
            self._tried_again = frozenset(await _read_held(connection))

    def expose(self, meter: Meter) -> None:
        """Feed ``outbox_lag_seconds`` and ``world_held``."""
        meter.create_observable_gauge(
            "outbox_lag_seconds",
            [self._lag],
            description="Age of the oldest event not relayed; 0 when all are.",
        )
        meter.create_observable_gauge(
            "world_held", [self._holds], description="1 for each reason for which a world is held."
        )

    async def run(self) -> None:
        """Relay until cancelled."""
        while True:
            try:
                relayed = await self.relay()
            except QmtlError as error:
                _log.warning("relay waits: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except Exception:  # a fault of ours must not end the service: worlds are read and frozen through it
                _log.exception("relay waits")
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if not relayed:
                await asyncio.sleep(POLL_SECONDS)

    async def relay(self) -> int:
        """Publish one batch; return how many events it settled."""
        async with transaction(self._pool) as connection:
            begun = await connection.fetchrow(_BEGIN)
            self._oldest = begun["oldest"]
            self._held = await _read_held(connection)
            if not begun["locked"]:
                return 0
            astray = set(self._held) - self._tried_again
            rows: Sequence[Mapping[str, Any]] = await connection.fetch(_NEXT, sorted(astray), BATCH)
            settled = 0
            for row in rows:
                world = row["world"]
                if world in astray:
                    continue
                if await self._publish(connection, row):
                    await connection.execute(_PUBLISHED, row["id"])
                    if world in self._held:
                        await connection.execute(_LIFT, world)
                    settled += 1
                else:
                    astray.add(world)
                    self._tried_again -= {world}
                    await connection.execute(_HOLD, world, ASTRAY_HOLD)
            return settled

    async def _publish(self, connection: Connection, row: Mapping[str, Any]) -> bool:
        """Settle an event; return False where it cannot follow what stands in the stream."""
        last = await self._last(row["subject"])
        last_sequence = await connection.fetchval(_SEQUENCE, row["world"], last.event_id) if last.event_id else 0
        where = turn(row["sequence"], last_sequence)
        if where is Turn.ASTRAY:
            _log.error(
                "the control stream of world %s ends with event %r (sequence %s), so %s (sequence %d) cannot follow: "
                "held",
                row["world"], last.event_id, last_sequence, row["event_id"], row["sequence"],
            )  # fmt: skip
        elif where is Turn.NEXT:
            condition = {EVENT_ID: row["event_id"], "Nats-Expected-Last-Subject-Sequence": str(last.stream_sequence)}
            await self._bus.publish(row["subject"], row["payload"], condition)
        return where is not Turn.ASTRAY

    def _lag(self, _options: CallbackOptions) -> Iterator[Observation]:
        age = 0.0 if self._oldest is None else (self._clock() - self._oldest).total_seconds()
        yield Observation(max(0.0, age))

    def _holds(self, _options: CallbackOptions) -> Iterator[Observation]:
        for world, reason in self._held.items():
            yield Observation(1, {"world": world, "reason": reason})

    async def _last(self, subject: str) -> Last:
        with translated_errors():
            try:
                message = await self._bus.jetstream.get_last_msg(STREAM, subject)
            except nats.js.errors.NotFoundError:
                return Last()
        return Last((message.headers or {}).get(EVENT_ID, ""), int(message.seq))


async def _read_held(connection: Connection) -> dict[str, str]:
    """Return the worlds that are held, each with the reason."""
    return {row["world"]: row["reason"] for row in await connection.fetch(_HELD)}
