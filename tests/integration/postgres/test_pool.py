"""The connection pool when connections die: nobody waits for one of which time has run out already."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.postgres import open_pool, ping, transaction
from qmtl_foundation.postgres.pool import Pool
from qmtl_foundation.settings import Secret
from tests.support.link import Link, link_to

STATEMENT_SECONDS = 0.2
BOUND_SECONDS = 10.0  # of a rollback that waits for a dead connection it would be 30


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


async def _stalled(pool: Pool, link: Link) -> None:
    async with transaction(pool) as connection:
        link.hold()
        await connection.execute("SELECT 1", timeout=STATEMENT_SECONDS)
