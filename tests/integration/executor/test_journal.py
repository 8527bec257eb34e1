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
from qmtl_foundation.postgres import open_pool
from qmtl_foundation.settings import Secret

PLACE = Place(enrolment=1, position=5, mark=1)


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


async def _write_while(journal: Journal, something: Callable[[], Awaitable[None]]) -> None:
    async with journal.writing("desk") as writing, asyncio.timeout(10.0):
        await writing.stand(PLACE, None)
        await something()


async def _move(journal: Journal, position: int) -> None:
    async with journal.writing("desk") as writing:
        await writing.move(position)
