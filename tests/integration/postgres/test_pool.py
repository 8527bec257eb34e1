"""The connection pool when connections die: nobody waits for one of which time has run out already."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from qmtl_foundation import tracing
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.postgres import acquire, open_pool, ping, transaction
from qmtl_foundation.postgres.pool import Pool
from qmtl_foundation.settings import Secret
from tests.support.link import Link, link_to
from tests.support.recorded import id_of, parent_of, recording_spans
from tests.support.waiting import eventually

STATEMENT_SECONDS = 0.2
BOUND_SECONDS = 10.0  # of a rollback that waits for a dead connection it would be 30
ENDED = "ended"


async def test_a_transaction_on_a_stalled_connection_ends_when_its_statement_times_out(postgres_dsn: str) -> None:
    url = urlsplit(postgres_dsn)
    (folder,) = parse_qs(url.query)["host"]
    with link_to(Path(folder) / ".s.PGSQL.5432") as link:
        async with open_pool(Secret(f"postgresql://{url.username}@{link.address}{url.path}"), "public") as pool:
            await ping(pool)
            with pytest.raises(QmtlError) as caught:
                await asyncio.wait_for(_stalled(pool, link), BOUND_SECONDS)
            assert caught.value.reason is Reason.DEPENDENCY_UNAVAILABLE
            link.release()
            await ping(pool)


async def test_statements_are_spans_of_who_asks_without_their_values(postgres_dsn: str) -> None:
    with recording_spans() as spans:
        async with open_pool(Secret(postgres_dsn), "public") as pool:
            await ping(pool)  # of no trace
            with tracing.span("work", begins=True):
                async with transaction(pool) as connection:
                    await connection.fetchval("SELECT   length($1)\n", "secret")
                    with pytest.raises(asyncpg.DivisionByZeroError):
                        async with connection.transaction():
                            await connection.execute("SELECT 1 / $1::int", 0)
            await ping(pool)  # what was asked last is noted a moment later
    work = spans.one("work")
    statements = [each for each in spans.all if each is not work]
    texts = [str((each.attributes or {})["db.query.text"]) for each in statements]
    assert texts[:2] == ["BEGIN;", "SELECT length($1)"]
    assert "COMMIT;" in texts
    assert "secret" not in repr([each.to_json() for each in statements])
    assert {parent_of(each) for each in statements} == {id_of(work)}
    assert [each.name for each in statements if each.status.description == "DivisionByZeroError"] == ["SELECT"]


async def test_a_connection_that_the_server_has_ended_but_not_closed_is_replaced(postgres_dsn: str) -> None:
    """The driver knows of the end by then, and raises a fault of its own for the next statement."""
    url = urlsplit(postgres_dsn)
    (folder,) = parse_qs(url.query)["host"]
    async with (
        _unclosed(Path(folder) / ".s.PGSQL.5432") as address,
        open_pool(Secret(f"postgresql://{url.username}@{address}{url.path}"), "public") as pool,
        open_pool(Secret(postgres_dsn), "public") as other,
    ):
        async with acquire(pool) as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            settings = connection.get_settings()
        async with acquire(other) as connection:
            await connection.execute("SELECT pg_terminate_backend($1)", pid)
        await eventually(lambda: settings.application_name == ENDED)  # the driver has read the server's last word
        with pytest.raises(QmtlError) as caught:
            await ping(pool)
        assert caught.value.reason is Reason.DEPENDENCY_UNAVAILABLE
        await ping(pool)


@asynccontextmanager
async def _unclosed(socket: Path) -> AsyncIterator[str]:
    """Pass bytes on to a server and back, and yield where; when the server closes its first connection, do not close
    the client's, which goes on by itself, but tell it a setting behind the server's last word: ``ENDED``."""

    async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()

    serving = set[asyncio.Task[None]]()
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())  # type: ignore[arg-type]  # within a task
        from_server, to_server = await asyncio.open_unix_connection(str(socket))
        up = asyncio.create_task(passed_on(reader, to_server))
        try:
            await passed_on(from_server, writer)
            if not ended.is_set():
                ended.set()
                stated = b"application_name\0" + ENDED.encode() + b"\0"
                writer.write(b"S" + (4 + len(stated)).to_bytes(4, "big") + stated)  # ParameterStatus
                await asyncio.wait({up})
        finally:  # one who went away meanwhile resets its connection
            up.cancel()
            for each in (writer, to_server):
                each.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"
        for each in serving:
            each.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def _stalled(pool: Pool, link: Link) -> None:
    async with transaction(pool) as connection:
        link.hold()
        await connection.execute("SELECT 1", timeout=STATEMENT_SECONDS)
