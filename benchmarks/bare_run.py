"""The floor of an apply run, its commits and publishes bare: ``python -m benchmarks.bare_run DSN NATS`` says where.

One call is one run, answered at its end. It takes the steps of a run of a world without an executor, and as many:

1. Freeze: lock a row, change it, two outbox rows, commit; publish a mark and an event, one after the other.
2. Each gateway acknowledges by a call: lock the row, change it, add the acknowledgement, commit. The last one's commit
   adds what is told next: the event of the switch; then mark and event of the opening; then nothing: it is over.

What was published is noted in one statement, beside the acknowledgements and before anything more is published.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg
import grpc
import nats
import nats.js.errors
from nats.js.api import StorageType, StreamConfig

from benchmarks.serving import serve

SERVICE: Final = "/bench.Run"
RUN: Final = f"{SERVICE}/Run"  # b"<gateways> <payload>" -> b""
ACKNOWLEDGE: Final = f"{SERVICE}/Acknowledge"  # b"<gateway> <number>" -> b""
EVENTS: Final = "bench_control.world"
MARKS: Final = "bench_orders.world"
TOLD: Final = ((MARKS, EVENTS), (EVENTS,), (MARKS, EVENTS))  # of freeze, switch and opening
SETUP: Final = """
CREATE TABLE IF NOT EXISTS bench_place (world text PRIMARY KEY, sequence bigint, state bytea);
CREATE TABLE IF NOT EXISTS bench_outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event_id text UNIQUE, subject text, payload bytea,
    publish_time timestamptz, position bigint
);
CREATE TABLE IF NOT EXISTS bench_acknowledgement (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, gateway text, sequence bigint
);
INSERT INTO bench_place VALUES ('world', 0, '') ON CONFLICT DO NOTHING
"""
LOCK: Final = "SELECT sequence, state FROM bench_place WHERE world = 'world' FOR NO KEY UPDATE"
CHANGE: Final = "UPDATE bench_place SET sequence = sequence + 1, state = $1 WHERE world = 'world'"
ADD: Final = "INSERT INTO bench_acknowledgement (gateway, sequence) VALUES ($1, $2)"
TELL: Final = (
    "INSERT INTO bench_outbox (event_id, subject, payload) SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[]) "
    "RETURNING id"
)
SETTLE: Final = (
    "UPDATE bench_outbox o SET publish_time = now(), position = s.position "
    "FROM unnest($1::bigint[], $2::bigint[]) AS s (id, position) WHERE o.id = s.id"
)


class BareRun(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    """Carry one run at a time."""

    def __init__(self, pool: Any, jetstream: Any) -> None:
        self._pool = pool
        self._jetstream = jetstream
        self._gateways = 0
        self._payload = b""
        self._number = 0  # of the newest event that was told, over all runs
        self._phase = 0
        self._acknowledged = 0
        self._settled: asyncio.Task[None] | None = None
        self._over = asyncio.Event()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Return the handler of one of the two methods."""
        methods = {RUN: self._run, ACKNOWLEDGE: self._acknowledge}
        behaviour = methods.get(handler_call_details.method)
        return None if behaviour is None else grpc.unary_unary_rpc_method_handler(behaviour)

    async def _run(self, request: bytes, context: Any) -> bytes:
        gateways, _, self._payload = request.partition(b" ")
        self._gateways, self._phase = int(gateways), 0
        self._over.clear()
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.fetchrow(LOCK)
            rows = await self._tell(connection)
        await self._publish(rows)
        await self._over.wait()
        await self._settlement()
        return b""

    async def _acknowledge(self, request: bytes, context: Any) -> bytes:
        gateway, _, number = request.partition(b" ")
        rows: list[tuple[int, str]] = []
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.fetchrow(LOCK)
            await connection.execute(ADD, gateway.decode(), int(number))
            self._acknowledged += 1
            last = self._acknowledged == self._gateways
            if last:
                self._phase += 1
            if last and self._phase < len(TOLD):
                rows = await self._tell(connection)
            else:
                await connection.execute(CHANGE, self._payload)
        if rows:
            await self._publish(rows)
        elif last:
            self._over.set()
        return b""

    async def _tell(self, connection: Any) -> list[tuple[int, str]]:
        subjects = TOLD[self._phase]
        await connection.execute(CHANGE, self._payload)
        ids = [uuid.uuid4().hex for _ in subjects]
        rows = await connection.fetch(TELL, ids, list(subjects), [self._payload] * len(subjects))
        return [(row["id"], subject) for row, subject in zip(rows, subjects, strict=True)]

    async def _publish(self, rows: Sequence[tuple[int, str]]) -> None:
        await self._settlement()
        self._number, self._acknowledged = self._number + 1, 0
        content = f"{self._number} ".encode() + self._payload
        places = [int((await self._jetstream.publish(subject, content)).seq) for _, subject in rows]
        self._settled = asyncio.create_task(self._settle([row for row, _ in rows], places))  # noqa: RUF006  # awaited below

    async def _settlement(self) -> None:
        if self._settled is not None:
            await self._settled

    async def _settle(self, rows: list[int], places: list[int]) -> None:
        await self._pool.execute(SETTLE, rows, places)


async def main(dsn: str, nats_url: str) -> None:
    """Serve until killed."""
    connection = await nats.connect(nats_url)
    jetstream = connection.jetstream()
    for name in (EVENTS.partition(".")[0], MARKS.partition(".")[0]):
        with suppress(nats.js.errors.BadRequestError):
            await jetstream.add_stream(StreamConfig(name=name, subjects=[f"{name}.>"], storage=StorageType.FILE))
    async with asyncpg.create_pool(dsn, min_size=4, max_size=4) as pool:
        await pool.execute(SETUP)
        await serve(BareRun(pool, jetstream))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
