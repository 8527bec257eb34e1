"""A set that NATS would not take in one message is refused before anything of it is written."""

from __future__ import annotations

import uuid
from bisect import bisect_left
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeter

from qmtl_foundation.clock import utc_now
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.jetstream.bus import open_bus
from qmtl_foundation.jetstream.streams import EVENT_ID, control_stream, event_subject
from qmtl_foundation.postgres import acquire, open_pool, transaction
from qmtl_foundation.postgres.pool import Pool
from qmtl_foundation.settings import Secret
from qmtl_world.apply.coordinator import Coordinator, new_run
from qmtl_world.apply.messages import MAX_SET_BYTES, Envelope, encode_event, refuse_large_set
from qmtl_world.apply.metrics import ApplyMetrics
from qmtl_world.apply.model import Activation, RunTerms
from qmtl_world.apply.place import EventKind, Told
from qmtl_world.apply.proposals import read_proposal
from qmtl_world.audit.model import Cause

VERSION = "blake3:" + "ab" * 32


def plan(strategies: int) -> tuple[Activation, ...]:
    return tuple(
        Activation(f"ann/Trend{n:06}", VERSION, 1.0 / strategies, "long", EffectiveMode.VALIDATE, VERSION)
        for n in range(strategies)
    )


@pytest.fixture
async def pool(migrated_dsn: str) -> AsyncIterator[Pool]:
    async with open_pool(Secret(migrated_dsn), "world") as opened:
        yield opened


@pytest.fixture
async def world(pool: Pool) -> str:
    name = f"large_{uuid.uuid4().hex}"
    columns = "name, description, data_preset, bars_per_year, mode, allow_live, execution_model, sizing_rule"
    async with acquire(pool) as connection:
        await connection.execute(
            f"INSERT INTO world ({columns}, share_policy, decision_ttl_s) "  # noqa: S608  # columns of ours
            "VALUES ($1, '', 'daily', 252, 'compute-only', false, '{}', '{}', 'world', 300)",
            name,
        )
    return name


@pytest.fixture
def coordinator(pool: Pool) -> Coordinator:
    return Coordinator(pool, utc_now, ApplyMetrics(NoOpMeter("test")))


async def written(pool: Pool, world: str) -> dict[str, Any]:
    async with acquire(pool) as connection:
        return {
            table: await connection.fetchval(f"SELECT count(*) FROM {table} WHERE world = $1", world)  # noqa: S608  # one of those below
            for table in ("apply_run", "outbox", "audit")
        }


@pytest.mark.parametrize("queue", [False, True])
async def test_a_start_with_a_set_beyond_the_limit_is_refused_and_writes_nothing(
    pool: Pool, world: str, coordinator: Coordinator, queue: bool
) -> None:
    record = new_run(world, "run", plan(6_000), RunTerms(), Cause(), utc_now())
    with pytest.raises(QmtlError, match=r"plan: 6000 strategies take \d+ bytes .* select fewer") as refused:
        async with transaction(pool) as connection:
            await coordinator.begin(connection, record, queue=queue)
    assert (refused.value.reason, refused.value.metadata["limit"]) == (Reason.TOO_LARGE, str(MAX_SET_BYTES))
    assert await written(pool, world) == {"apply_run": 0, "outbox": 0, "audit": 0}


async def test_a_round_that_selects_too_many_waits_and_says_why(
    pool: Pool, world: str, coordinator: Coordinator
) -> None:
    async with transaction(pool) as connection:
        await coordinator.propose(connection, world, 1, plan(6_000), plan(6_000), RunTerms())
        proposal = await read_proposal(connection, world)
    assert proposal is not None
    assert f"the limit is {MAX_SET_BYTES}" in proposal.waits_for
    assert await written(pool, world) == {"apply_run": 0, "outbox": 0, "audit": 0}


async def test_the_largest_set_fits_into_a_message(nats_url: str, world: str) -> None:
    most = bisect_left(range(6_000), x=True, key=lambda n: not _fits(world, n)) - 1
    told = Told(2**53, EventKind.FREEZE, 2**53, "r" * 64, plan(most))
    holds = [f"hold_{n:058}" for n in range(500)]
    moment = datetime(2261, 1, 1, tzinfo=UTC)
    payload = encode_event(told, world, moment, holds, VERSION, Envelope("e" * 32, "t" * 32, moment))
    assert len(payload) > MAX_SET_BYTES
    async with open_bus(nats_url, "test") as bus:
        await bus.ensure_stream(control_stream(1))
        assert await bus.append(event_subject(world), payload, 0, {EVENT_ID: "e" * 32})


def _fits(world: str, strategies: int) -> bool:
    try:
        refuse_large_set(world, plan(strategies))
    except QmtlError:
        return False
    return True
