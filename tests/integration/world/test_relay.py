"""The control stream: each switch once, in order, chained by hash; a wiped one holds its world; readers follow it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import nats
import nats.js.errors

from qmtl_foundation.clock import utc_now
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.identity import EVENT_CONTEXT, bytes_id
from qmtl_foundation.jetstream import open_bus
from qmtl_foundation.pb.qmtl.allocation.v1 import allocation_pb2, allocation_service_pb2
from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2
from qmtl_foundation.pb.qmtl.common.v1 import execution_pb2
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2
from qmtl_foundation.pb.qmtl.world.v1 import world_service_pb2
from qmtl_foundation.postgres import acquire, open_pool, transaction
from qmtl_foundation.settings import Secret
from qmtl_sdk.local.progress import ProcessStatus
from qmtl_world.apply import store
from qmtl_world.apply.model import Activation
from qmtl_world.apply.relay import ASTRAY_HOLD, EVENT_ID, STREAM, Relay, Turn, turn
from tests.support.desk import (
    Asked,
    Desk,
    evaluate,
    make_world,
    metrics,
    relayed_set,
    returns,
    version_of,
    world_status,
)
from tests.support.waiting import wait_until

NAMES = ("A", "B", "C")


@asynccontextmanager
async def truths(parts: dict[str, ProcessStatus]) -> AsyncIterator[tuple[Any, Any]]:
    """Yield the JetStream and the database of the stack."""
    client = await nats.connect(f"nats://{parts['nats'].address}")
    connection = await asyncpg.connect(parts["postgres"].address)
    try:
        yield client.jetstream(), connection
    finally:
        await connection.close()
        await client.close()


def switched_world(desk: Desk) -> str:
    """Make a world that was switched once for each name."""
    world = make_world(desk)
    for name in NAMES:
        evaluate(desk, Asked(world, name), returns(seed=ord(name)))
    relayed_set(desk, world, len(NAMES))
    return world


async def stored(stream: Any, world: str) -> list[Any]:
    """Return the messages of a world's subject, oldest first."""
    messages, sequence = [], 1
    while True:
        try:
            found = await stream.get_msg(STREAM, seq=sequence, subject=f"control.activation.{world}", next=True)
        except nats.js.errors.NotFoundError:
            return messages
        messages.append(found)
        sequence = found.seq + 1


def test_an_event_is_placed_by_its_sequence() -> None:
    assert turn(1, 0) is Turn.NEXT
    assert turn(4, 3) is Turn.NEXT
    assert turn(3, 3) is Turn.THERE
    assert turn(2, 5) is Turn.THERE
    assert turn(3, 1) is Turn.ASTRAY
    assert turn(2, 0) is Turn.ASTRAY
    assert turn(1, None) is Turn.ASTRAY


async def test_each_switch_is_one_event_in_order_chained_by_hash(desk: Desk, parts: dict[str, ProcessStatus]) -> None:
    world = switched_world(desk)
    async with truths(parts) as (stream, _):
        messages = await stored(stream, world)
    events = [activation_event_pb2.ActivationEvent.FromString(each.data) for each in messages]
    assert [(each.world, each.sequence, each.epoch) for each in events] == [(world, n, n) for n in (1, 2, 3)]
    assert [each.headers[EVENT_ID] for each in messages] == [each.event_id for each in events]
    hashes = [bytes_id(EVENT_CONTEXT, each.data) for each in messages]
    assert [each.previous_event_hash for each in events] == ["", *hashes[:-1]]
    assert len({each.timeline_id for each in events}) == 1
    assert [len(each.activation_set.activations) for each in events] == [1, 2, 3]
    assert events[-1].activation_set == relayed_set(desk, world, 3)
    assert world_status(desk, world).sequence == 3


async def test_events_whose_commit_was_lost_are_found_in_the_stream_and_not_sent_again(
    desk: Desk, parts: dict[str, ProcessStatus]
) -> None:
    world = switched_world(desk)
    async with truths(parts) as (stream, connection):
        before = [each.seq for each in await stored(stream, world)]
        await connection.execute("UPDATE world.outbox SET publish_time = NULL WHERE world = $1", world)
        relayed_set(desk, world, len(NAMES))
        assert [each.seq for each in await stored(stream, world)] == before
    evaluate(desk, Asked(world, "A", period=9), returns(0.003, seed=9))
    assert relayed_set(desk, world, 4).sequence == 4


async def test_a_world_whose_stream_was_wiped_is_held_and_says_so(desk: Desk, parts: dict[str, ProcessStatus]) -> None:
    world, other = switched_world(desk), make_world(desk)
    async with truths(parts) as (stream, _):
        await stream.purge_stream(STREAM, subject=f"control.activation.{world}")
        evaluate(desk, Asked(world, "A", period=9), returns(0.003, seed=9))
        assert world_status(desk, world).sequence == 4
        wait_until(lambda: f"the control stream of world {world} ends with event ''" in parts["world"].log.read_text())
        evaluate(desk, Asked(other))
        relayed_set(desk, other, 1)
        assert await stored(stream, world) == []
    read = desk.applies.GetActivation(apply_service_pb2.GetActivationRequest(world=world))
    assert (read.activation_set.sequence, list(read.holds)) == (3, [ASTRAY_HOLD])
    healthy = desk.applies.GetActivation(apply_service_pb2.GetActivationRequest(world=other))
    assert list(healthy.holds) == []
    exposed = metrics(parts["world"].metrics_address)
    assert exposed[f"world_held/{ASTRAY_HOLD}"] == 1.0
    assert exposed["outbox_lag_seconds"] > 0.0


async def test_a_hold_stands_in_the_database_until_a_started_relay_finds_the_stream_mended(
    migrated_dsn: str, nats_url: str
) -> None:
    world, subject = "held_desk", "control.activation.held_desk"
    async with open_pool(Secret(migrated_dsn), "world") as pool, open_bus(nats_url, "test") as bus:

        async def started() -> Relay:
            relay = Relay(pool, bus, 1, utc_now)
            await relay.open()
            return relay

        async def switch(weight: float) -> None:
            only = Activation("ann/Trend", version_of(), weight, "long", EffectiveMode.PAPER, "")
            async with transaction(pool) as connection:
                await store.switch(connection, world, [only], utc_now())

        async def holds() -> list[str]:
            async with acquire(pool) as connection:
                return await store.read_holds(connection, world)

        first, second = await started(), await started()
        await switch(0.1)
        assert await first.relay() == 1
        (told,) = await stored(bus.jetstream, world)
        await bus.jetstream.purge_stream(STREAM, subject=subject)
        await switch(0.2)
        assert await first.relay() == 0
        assert await holds() == [ASTRAY_HOLD]
        assert await (await started()).relay() == 0
        await bus.publish(subject, told.data, {EVENT_ID: told.headers[EVENT_ID]})
        assert [await first.relay(), await second.relay(), *await holds()] == [0, 0, ASTRAY_HOLD]
        assert await (await started()).relay() == 1
        assert await holds() == []
        await switch(0.3)
        assert await second.relay() == 1


async def test_a_switched_set_is_read_and_told_with_the_executor_of_its_orders(migrated_dsn: str) -> None:
    world, subject = "routed_desk", "control.activation.routed_desk"
    only = Activation("ann/Trend", version_of(), 0.5, "long", EffectiveMode.PAPER, "", "paper-1")
    async with open_pool(Secret(migrated_dsn), "world") as pool, transaction(pool) as connection:
        switched = await store.switch(connection, world, [only], utc_now())
        assert await store.read_set(connection, world) == switched
        payload = await connection.fetchval("SELECT payload FROM outbox WHERE subject = $1", subject)
    told = activation_event_pb2.ActivationEvent.FromString(payload)
    assert switched.activations == (only,)
    assert [each.executor for each in told.activation_set.activations] == ["paper-1"]


async def test_what_is_allowed_was_announced_and_still_stands(desk: Desk, parts: dict[str, ProcessStatus]) -> None:
    world = switched_world(desk)
    announced = allocations(desk, world)
    assert mode(desk, world, "A", 5) == execution_pb2.EFFECTIVE_MODE_PAPER
    async with truths(parts) as (stream, _):
        await stream.purge_stream(STREAM, subject=f"control.activation.{world}")
    answer = evaluate(desk, Asked(world, "A", period=9), returns(0.003, seed=9))
    assert (answer.activation.strategy_version, answer.activation.sequence) == (version_of(9), 4)
    assert answer.decision.effective_mode == execution_pb2.EFFECTIVE_MODE_VALIDATE
    assert world_status(desk, world).sequence == 4
    assert mode(desk, world, "A", 9) == execution_pb2.EFFECTIVE_MODE_VALIDATE  # switched to, not announced
    assert mode(desk, world, "A", 5) == execution_pb2.EFFECTIVE_MODE_VALIDATE  # announced, no longer in force
    assert mode(desk, world, "B", 5) == execution_pb2.EFFECTIVE_MODE_PAPER
    assert allocations(desk, world) == announced


def mode(desk: Desk, world: str, name: str, period: int) -> int:
    """Return the mode that the world decides for a version."""
    request = world_service_pb2.GetDecisionRequest(
        world=world, strategy_id=f"ann/{name}", strategy_version=version_of(period)
    )
    return int(desk.worlds.GetDecision(request).decision.effective_mode)


def allocations(desk: Desk, world: str) -> allocation_pb2.AllocationSnapshot:
    """Return a world's allocations."""
    return desk.allocations.GetAllocations(allocation_service_pb2.GetAllocationsRequest(world=world)).allocations
