"""Relays the outbox to the control and order streams: in order across both, each row once, never over a stream that
went another way.

A row is published on condition that its subject still ends where its predecessor was stored. Where it does not, the
subject's last message is read. This row or a later one of the world: it is there already, its commit was lost. Anything
else: the stream and the database disagree; that world is held, and nothing more is told of it until it is reseeded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.trace import SpanKind

from qmtl_foundation import tracing
from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.clock import Clock
from qmtl_foundation.errors import QmtlError
from qmtl_foundation.jetstream.bus import Bus
from qmtl_foundation.jetstream.streams import (
    CONTROL,
    EVENT_ID,
    ORDERS,
    control_stream,
    event_subject,
    mark_subject,
    order_stream,
)
from qmtl_foundation.postgres import transaction
from qmtl_foundation.postgres.pool import Connection, Pool
from qmtl_foundation.postgres.signals import Signals, wait
from qmtl_world.apply.place import ASTRAY
from qmtl_world.apply.store import EVENT

BATCH: Final = 200
POLL_SECONDS: Final = 0.25  # without a signal
RETRY_SECONDS: Final = 0.5

# One relay at a time: whoever holds the lock, which is asked for while there are rows. How long those have waited, all
# replicas know. All in one round trip: where another replica held the lock when this began, what that one settled may
# still seem to wait, and is found in the streams.
_NEXT = """
WITH begun AS MATERIALIZED (
    SELECT o.oldest, o.oldest IS NOT NULL AND pg_try_advisory_xact_lock(7309940231) AS locked
    FROM (SELECT min(create_time) AS oldest FROM outbox WHERE publish_time IS NULL) o
)
SELECT b.locked, b.oldest, n.* FROM begun b LEFT JOIN LATERAL (
    SELECT o.id, o.event_id, o.world, o.kind, o.number, o.payload, o.trace,
           coalesce(r.number, 0) AS before_number, coalesce(r.position, 0) AS before_position
    FROM outbox o JOIN place p ON p.world = o.world LEFT JOIN relayed r ON r.world = o.world AND r.kind = o.kind
    WHERE o.publish_time IS NULL AND NOT $2 = ANY(p.holds) ORDER BY o.id LIMIT $1
) n ON true ORDER BY n.id
"""
_NUMBER = """
SELECT number FROM outbox WHERE world = $1 AND kind = $2 AND event_id = $3
UNION SELECT number FROM relayed WHERE world = $1 AND kind = $2 AND event_id = $3
"""
_SETTLE = """
WITH settled AS (
    UPDATE outbox o SET publish_time = clock_timestamp(), position = s.position
    FROM unnest($1::bigint[], $2::bigint[]) AS s (id, position) WHERE o.id = s.id AND o.publish_time IS NULL
    RETURNING o.world, o.kind, o.number, o.event_id, o.payload, s.position
)
INSERT INTO relayed (world, kind, number, event_id, payload, position)
SELECT DISTINCT ON (world, kind) world, kind, number, event_id, payload, position FROM settled
ORDER BY world, kind, number DESC
ON CONFLICT (world, kind) DO UPDATE SET number = excluded.number, event_id = excluded.event_id,
                                        payload = excluded.payload, position = excluded.position
"""

Hold = Callable[[str, str], Awaitable[None]]

_log = logging.getLogger(__name__)


class Turn(StrEnum):
    """Say what a subject's last message means for the next row."""

    THERE = "there"
    NEXT = "next"
    ASTRAY = "astray"


def turn(number: int, last: int | None) -> Turn:
    """Judge where a row stands, by its number in the world and that of the subject's last message.

    ``last`` is 0 when the subject is empty, None when its last message is none of the world's.
    """
    if last is None or number > last + 1:
        return Turn.ASTRAY
    return Turn.NEXT if number == last + 1 else Turn.THERE


@dataclass(slots=True)
class _Batch:
    """Hold what one look has published: rows with their places, the newest of each subject, worlds gone astray."""

    newest: dict[tuple[str, str], tuple[int, int]]  # number and place by world and kind
    ids: list[int]
    positions: list[int]
    astray: dict[str, str]


class Relay:
    """Publish what the outbox holds."""

    def __init__(self, pool: Pool, bus: Bus, replicas: int, clock: Clock, hold: Hold) -> None:
        self._pool = pool
        self._bus = bus
        self._replicas = replicas
        self._clock = clock
        self._hold = hold
        self._oldest: datetime | None = None

    async def open(self) -> None:
        """Make the streams, and change those that stand as they are specified now."""
        await self._bus.ensure_stream(control_stream(self._replicas))
        await self._bus.ensure_stream(order_stream(self._replicas))

    def expose(self, meter: Meter) -> None:
        """Feed ``outbox_lag_seconds``."""
        meter.create_observable_gauge(
            "outbox_lag_seconds", [self._lag], description="Age of the oldest row not relayed; 0 when all are."
        )

    async def run(self, signals: Signals) -> None:
        """Relay whenever a step was taken anywhere, until cancelled."""
        async with signals.watching() as stepped:
            while True:
                heed_cancellation()
                try:
                    if not await self.relay():
                        await wait(stepped, POLL_SECONDS)
                except QmtlError as error:
                    _log.warning("relay waits: %s", error)
                    await asyncio.sleep(RETRY_SECONDS)
                except Exception:  # a fault of ours must not end the service: worlds are read and frozen through it
                    _log.exception("relay waits")
                    await asyncio.sleep(RETRY_SECONDS)

    async def relay(self) -> int:
        """Publish one batch; return how many rows it settled.

        What was published before a failure is settled all the same, and the failure raised afterwards.
        """
        async with transaction(self._pool) as connection:
            rows = await connection.fetch(_NEXT, BATCH, ASTRAY)
            begun = rows[0]
            self._oldest = begun["oldest"]
            if begun["oldest"] is None or not begun["locked"]:
                return 0
            batch, failure = await self._publish_batch(connection, [row for row in rows if row["id"] is not None])
            if batch.ids:
                await connection.execute(_SETTLE, batch.ids, batch.positions)
        for world, reason in batch.astray.items():
            await self._hold(world, reason)
        if failure is not None:
            raise failure
        return len(batch.ids)

    async def _publish_batch(
        self, connection: Connection, rows: Sequence[Mapping[str, Any]]
    ) -> tuple[_Batch, QmtlError | None]:
        newest = {(row["world"], row["kind"]): (row["before_number"], row["before_position"]) for row in rows}
        batch = _Batch(newest, [], [], {})
        try:
            for row in rows:
                if row["world"] not in batch.astray:
                    await self._publish(connection, row, batch)
        except QmtlError as error:
            return batch, error
        return batch, None

    async def _publish(self, connection: Connection, row: Mapping[str, Any], batch: _Batch) -> None:
        """Settle a row, or note that its world's stream went another way."""
        key = (row["world"], row["kind"])
        number, place = batch.newest[key]
        stored = None
        if row["number"] == number + 1:
            stored = await self._append(row, place)
        if stored is None:
            stored = await self._look(connection, row, batch, place)
        if stored is not None:
            batch.ids.append(row["id"])
            batch.positions.append(stored)
            batch.newest[key] = (row["number"], stored)

    async def _look(self, connection: Connection, row: Mapping[str, Any], batch: _Batch, before: int) -> int | None:
        """Compare with the subject's last message, and publish if that is the row's predecessor.

        Of a row that is there with later ones behind it the place is not known: it is somewhere behind ``before``.
        """
        stream, subject = _where(row)
        found = await self._bus.newest(stream, subject)
        event_id = "" if found is None else (found.headers or {}).get(EVENT_ID, "")
        last = 0 if found is None else await connection.fetchval(_NUMBER, row["world"], row["kind"], event_id)
        place = 0 if found is None else int(found.seq)
        where = turn(row["number"], last)
        if where is Turn.THERE:
            return place if last == row["number"] else before + 1
        stored = await self._append(row, place) if where is Turn.NEXT else None
        if stored is None:
            batch.astray[row["world"]] = (
                f"{subject} ends with {event_id!r} ({last}), so {row['event_id']} ({row['number']}) cannot follow"
            )
        return stored

    async def _append(self, row: Mapping[str, Any], place: int) -> int | None:
        subject = _where(row)[1]
        attributes = {"messaging.system": "nats", "messaging.destination.name": subject, "qmtl.world": row["world"]}
        with tracing.span(f"publish {row['kind']}", row["trace"], SpanKind.PRODUCER, attributes):
            return await self._bus.append(subject, row["payload"], place, {EVENT_ID: row["event_id"]})

    def _lag(self, _options: CallbackOptions) -> Iterator[Observation]:
        age = 0.0 if self._oldest is None else (self._clock() - self._oldest).total_seconds()
        yield Observation(max(0.0, age))


def _where(row: Mapping[str, Any]) -> tuple[str, str]:
    if row["kind"] == EVENT:
        return CONTROL, event_subject(row["world"])
    return ORDERS, mark_subject(row["world"])
