"""The raw floor of ``Submit``: one commit, one synced publish, one echo, on the same stack and nothing else."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import grpc
import nats
from nats.js.api import StorageType, StreamConfig

from benchmarks import echo
from benchmarks.gateways import bare
from benchmarks.local_stack import LocalStack

POOL: Final = 16  # connections, as many as the gateway has
SCHEMA: Final = "CREATE TABLE IF NOT EXISTS bench_submission (id text PRIMARY KEY, document bytea NOT NULL)"
INSERT: Final = "INSERT INTO bench_submission VALUES ($1, $2)"
STREAM: Final = "bench"


@dataclass(frozen=True, slots=True)
class Floor:
    """Do the three things, each alone or in order."""

    pool: Any
    jetstream: Any
    call: Any

    async def commit(self, document: bytes) -> None:
        """Insert and commit one row."""
        await self.pool.execute(INSERT, uuid.uuid4().hex, document)

    async def publish(self) -> None:
        """Publish one message; it is on disk when this returns."""
        name = uuid.uuid4().hex
        await self.jetstream.publish(f"{STREAM}.one", name.encode(), headers={"Nats-Msg-Id": name})

    async def echo(self, document: bytes) -> None:
        """Make one call."""
        await self.call(document)

    async def all(self, document: bytes) -> None:
        """Do what ``Submit`` does at least."""
        await self.echo(document)
        await self.commit(document)
        await self.publish()


@asynccontextmanager
async def open_floor(stack: LocalStack) -> AsyncIterator[Floor]:
    """Yield the floor of a stack."""
    connection = await nats.connect(stack.nats_url)
    try:
        async with (
            bare("benchmarks.echo") as address,
            asyncpg.create_pool(stack.postgres_dsn, min_size=POOL, max_size=POOL) as pool,
            grpc.aio.insecure_channel(address) as channel,
        ):
            await pool.execute(SCHEMA)
            jetstream = connection.jetstream()
            await jetstream.add_stream(StreamConfig(name=STREAM, subjects=[f"{STREAM}.>"], storage=StorageType.FILE))
            yield Floor(pool, jetstream, channel.unary_unary(echo.METHOD))
    finally:
        await connection.close()
