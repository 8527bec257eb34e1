"""The journal's guard: a start writes while it is the newest one, and what an older one left open is ended."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import pytest

from qmtl_executor.journal import Journal
from qmtl_executor.model import Place
from qmtl_foundation.clock import utc_now
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.postgres import acquire, open_pool
from qmtl_foundation.settings import Secret
from tests.support.waiting import becomes

PLACE = Place(enrolment=1, position=5, mark=1)
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INTO instance%'"


async def test_a_start_that_another_one_followed_writes_nothing(migrated_dsn: str) -> None:
    name = f"paper_{uuid.uuid4().hex[:8]}"
    async with open_pool(Secret(migrated_dsn), "executor") as pool:
        older, newer = (Journal(pool, name, token, utc_now) for token in ("a", "b"))
        await older.begin()
        async with older.writing("desk") as writing:
            await writing.stand(PLACE, None)
        await newer.begin()
        for attempt in (_move(older, 9), older.check()):
            with pytest.raises(QmtlError, match="a newer start") as refused:
                await attempt
            assert refused.value.reason is Reason.FOREIGN_INCARNATION
        await newer.check()
        assert await newer.read_place("desk") == (PLACE, None)


async def test_a_start_that_is_paused_within_a_transaction_does_not_hold_up_its_successor(migrated_dsn: str) -> None:
    name = f"paper_{uuid.uuid4().hex[:8]}"
    async with (
        open_pool(Secret(migrated_dsn), "executor", idle_transaction_s=0.3) as paused,
        open_pool(Secret(migrated_dsn), "executor") as pool,
    ):
        older, newer = Journal(paused, name, "a", utc_now), Journal(pool, name, "b", utc_now)
        await older.begin()
        with pytest.raises(QmtlError) as lost:
            await _write_while(older, newer.begin)  # waits until the server has ended the older one's transaction
        assert lost.value.reason is Reason.DEPENDENCY_UNAVAILABLE
        assert await newer.read_place("desk") == (None, None)


async def test_a_successor_begins_when_what_is_being_written_has_ended(migrated_dsn: str) -> None:
    name = f"paper_{uuid.uuid4().hex[:8]}"
    async with open_pool(Secret(migrated_dsn), "executor") as pool:
        older, newer = (Journal(pool, name, token, utc_now) for token in ("a", "b"))
        await older.begin()

        async def waits() -> bool:
            async with acquire(pool) as connection:
                return bool(await connection.fetchval(WAITING))

        async with older.writing("desk") as writing:
            beginning = asyncio.create_task(newer.begin())
            await becomes(waits, True, 5.0)
            await writing.stand(PLACE, None)
        await beginning
        assert await newer.read_place("desk") == (PLACE, None)
        with pytest.raises(QmtlError, match="a newer start"):
            await _move(older, 9)


async def test_a_place_that_is_settled_never_goes_back(migrated_dsn: str) -> None:
    name = f"paper_{uuid.uuid4().hex[:8]}"
    async with open_pool(Secret(migrated_dsn), "executor") as pool:
        journal = Journal(pool, name, "a", utc_now)
        await journal.begin()
        async with journal.writing("desk") as writing:
            await writing.stand(PLACE, None)
        for position, settled in ((9, 9), (7, 9), (10, 10)):
            await _move(journal, position)
            place, _ = await journal.read_place("desk")
            assert place is not None
            assert place.position == settled


async def _write_while(journal: Journal, something: Callable[[], Awaitable[None]]) -> None:
    async with journal.writing("desk") as writing, asyncio.timeout(10.0):
        await writing.stand(PLACE, None)
        await something()


async def _move(journal: Journal, position: int) -> None:
    async with journal.writing("desk") as writing:
        await writing.move(position)
