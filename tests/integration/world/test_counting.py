"""Runs are counted once they are committed: no rehearsal, and nothing that was rolled back."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from qmtl_foundation.clock import utc_now
from qmtl_foundation.postgres import open_pool, rehearsal, transaction
from qmtl_foundation.postgres.pool import Connection, Pool
from qmtl_foundation.settings import Secret
from qmtl_world.apply.coordinator import Coordinator, new_run
from qmtl_world.apply.metrics import ApplyMetrics
from qmtl_world.apply.model import RunTerms
from qmtl_world.apply.place import Phase
from qmtl_world.audit.model import Cause


@pytest.fixture
async def pool(migrated_dsn: str) -> AsyncIterator[Pool]:
    async with open_pool(Secret(migrated_dsn), "world") as opened:
        yield opened


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def coordinator(pool: Pool, reader: InMemoryMetricReader) -> Coordinator:
    return Coordinator(pool, utc_now, ApplyMetrics(MeterProvider([reader]).get_meter("test")))


def counted(reader: InMemoryMetricReader) -> int:
    """Return how many runs were counted, of any outcome."""
    data = reader.get_metrics_data()
    assert data is not None
    found = (each for of in data.resource_metrics for scope in of.scope_metrics for each in scope.metrics)
    points: list[Any] = [point for each in found if each.name == "apply_runs_total" for point in each.data.data_points]
    return sum(int(point.value) for point in points)


async def apply(coordinator: Coordinator, connection: Connection) -> None:
    """Let a run begin for which nobody is waited, so that it is over at once."""
    record = new_run(f"desk_{uuid.uuid4().hex}", "run", (), RunTerms(), Cause(), utc_now())
    standing = await coordinator.begin(connection, record, queue=False)
    assert standing.record is not None
    assert standing.record.run.phase is Phase.COMPLETED


async def test_a_rehearsal_is_not_counted(pool: Pool, coordinator: Coordinator, reader: InMemoryMetricReader) -> None:
    async with rehearsal(pool) as connection:
        await apply(coordinator, connection)
    assert counted(reader) == 0


async def test_a_run_is_counted_with_its_commit_and_not_where_that_fails(
    pool: Pool, coordinator: Coordinator, reader: InMemoryMetricReader
) -> None:
    async def fail() -> None:
        async with transaction(pool) as connection:
            await apply(coordinator, connection)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert counted(reader) == 0
    async with transaction(pool) as connection:
        await apply(coordinator, connection)
        assert counted(reader) == 0
    assert counted(reader) == 1
