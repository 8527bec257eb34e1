"""Same request id, same answer: the work is done once whatever runs beside it, and what fails is not remembered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.postgres import acquire, open_pool, rehearsal
from qmtl_foundation.postgres.pool import Connection, Pool
from qmtl_foundation.settings import Secret
from qmtl_world.idempotency import Request, once, stored_answer
from tests.support.desk import request_id


@pytest.fixture
async def pool(migrated_dsn: str) -> AsyncIterator[Pool]:
    async with open_pool(Secret(migrated_dsn), "world") as opened:
        yield opened


async def timelines(pool: Pool) -> int:
    async with acquire(pool) as connection:
        return int(await connection.fetchval("SELECT count(*) FROM timeline"))


async def add_timeline(connection: Connection) -> bytes:
    await connection.execute("INSERT INTO timeline VALUES ('another')")
    return b"done"


async def test_work_that_is_asked_for_many_times_at_once_is_done_once(pool: Pool) -> None:
    before, request = await timelines(pool), Request(request_id(), "Create", "hash")
    answers = await asyncio.gather(*(once(pool, request, add_timeline) for _ in range(20)))
    assert set(answers) == {b"done"}
    assert await stored_answer(pool, request) == b"done"
    assert await timelines(pool) == before + 1


async def test_an_id_stands_for_one_method_and_one_content(pool: Pool) -> None:
    key = request_id()
    await once(pool, Request(key, "Create", "hash"), add_timeline)
    for other in (Request(key, "Delete", "hash"), Request(key, "Create", "other")):
        for call in (once(pool, other, add_timeline), stored_answer(pool, other)):
            with pytest.raises(QmtlError) as caught:
                await call
            assert caught.value.reason is Reason.REQUEST_ID_REUSED


async def test_work_that_fails_leaves_nothing_and_may_be_asked_for_again(pool: Pool) -> None:
    before, request = await timelines(pool), Request(request_id(), "Create", "hash")

    async def fail(connection: Connection) -> bytes:
        await add_timeline(connection)
        raise QmtlError(Reason.STALE_ETAG, "not now")

    with pytest.raises(QmtlError, match="not now"):
        await once(pool, request, fail)
    assert await stored_answer(pool, request) is None
    assert await timelines(pool) == before
    assert await once(pool, request, add_timeline) == b"done"


async def test_a_rehearsal_leaves_nothing(pool: Pool) -> None:
    before = await timelines(pool)
    async with rehearsal(pool) as connection:
        await add_timeline(connection)
    assert await timelines(pool) == before


async def test_a_server_that_is_away_is_a_missing_dependency() -> None:
    with pytest.raises(QmtlError) as caught:
        async with open_pool(Secret("postgresql://qmtl@127.0.0.1:1/qmtl"), "world"):
            pass
    assert caught.value.metadata == {"dependency": "postgres"}
    assert "127.0.0.1" not in caught.value.message
