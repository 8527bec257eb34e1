"""The audit in PostgreSQL: it hashes as ``qmtl_foundation.audit`` does, whoever writes, and gives no entry away."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from qmtl_foundation.audit import Head, verify
from qmtl_foundation.postgres import acquire, open_pool, rehearsal, transaction
from qmtl_foundation.postgres.pool import Pool
from qmtl_foundation.settings import Secret
from qmtl_world.audit import store
from qmtl_world.audit.model import Cause
from qmtl_world.audit.service import NEWEST

NOON = datetime(2026, 11, 30, 12, 0, 0, 999_999, tzinfo=UTC)
TEXTS = ("", "why", "3:abc,", "é 日本 🙂", "a'b\"c\\d", "x" * 200)
SEVERAL = """
INSERT INTO audit (world, event, actor, reason, epoch, sequence, create_time)
SELECT $1, 'requested', 'ana', 'reason ' || n, n, n, now() FROM generate_series(1, 20) n ORDER BY n
"""


@pytest.fixture
async def pool(migrated_dsn: str) -> AsyncIterator[Pool]:
    async with open_pool(Secret(migrated_dsn), "world") as opened:
        yield opened


@pytest.fixture
def world() -> str:
    return f"desk-{uuid.uuid4().hex[:12]}"


async def add(pool: Pool, world: str, reason: str, detail: str = "", now: datetime = NOON) -> None:
    async with transaction(pool) as connection:
        await store.add(connection, world, "world_changed", Cause("ana", reason), detail, now)


async def assert_whole(pool: Pool, world: str, entries: int) -> None:
    async with acquire(pool) as connection:
        head = await store.read_head(connection, world)
        found = await store.list_entries(connection, world, NEWEST, 1_000)
    assert head is not None
    assert [each.number for each in found] == list(range(entries, 0, -1))
    assert head == Head(entries, found[0].hash)
    assert list(verify(found, head)) == []


async def test_postgresql_hashes_as_readers_do(pool: Pool, world: str) -> None:
    for number, text in enumerate(TEXTS):
        await add(pool, world, text, text[::-1], NOON + timedelta(microseconds=number))
    await add(pool, world, "long ago", now=datetime(1969, 7, 20, 20, 17, 40, 1, tzinfo=UTC))
    await assert_whole(pool, world, len(TEXTS) + 1)


async def test_entries_of_one_statement_and_of_many_writers_are_one_chain(pool: Pool, world: str) -> None:
    async with transaction(pool) as connection:
        await connection.execute(SEVERAL, world)
    await asyncio.gather(*(add(pool, world, f"reason {n}") for n in range(8)))
    await assert_whole(pool, world, 28)


async def test_what_is_rolled_back_leaves_no_gap(pool: Pool, world: str) -> None:
    await add(pool, world, "first")
    async with rehearsal(pool) as connection:
        await store.add(connection, world, "world_changed", Cause("ana", "never"), "", NOON)
    await add(pool, world, "second")
    await assert_whole(pool, world, 2)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit SET actor = 'bob'", "DELETE FROM audit WHERE number = 1", "TRUNCATE audit"],
)
async def test_entries_are_neither_changed_nor_removed(pool: Pool, world: str, statement: str) -> None:
    await add(pool, world, "first")
    with pytest.raises(asyncpg.RestrictViolationError, match="never changed or removed"):
        async with transaction(pool) as connection:
            await connection.execute(statement)
    await assert_whole(pool, world, 1)


async def test_an_end_that_was_set_back_is_found_and_keeps_nobody_from_writing(pool: Pool, world: str) -> None:
    for reason in ("first", "second", "third"):
        await add(pool, world, reason)
    async with transaction(pool) as connection:
        await connection.execute("DELETE FROM audit_head WHERE world = $1", world)
    await add(pool, world, "fourth")
    async with acquire(pool) as connection:
        head = await store.read_head(connection, world)
        found = await store.list_entries(connection, world, NEWEST, 10)
    assert head is not None
    assert [each.number for each in found] == [4, 3, 2, 1]
    assert [(each.first, each.last) for each in verify(found, head)] == [(4, 4)]


async def test_heads_are_listed_by_name_and_for_those_who_may_read_them(pool: Pool, world: str) -> None:
    names = [f"{world}-{letter}" for letter in "cab"]
    for name in names:
        await add(pool, name, "made")
    async with acquire(pool) as connection:
        listed = [name for name, _ in await store.list_heads(connection, world, 2, names)]
        assert listed == sorted(names)[:2]
        assert [name for name, _ in await store.list_heads(connection, listed[-1], 2, names)] == sorted(names)[2:]
        assert await store.list_heads(connection, "", 10, []) == []
        assert await store.read_head(connection, world) is None
