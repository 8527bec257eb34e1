"""A relay on the real PostgreSQL and nats-server: in order over both streams, alone, and never past a broken place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import nats.js.errors
import pytest

from qmtl_foundation.errors import QmtlError
from qmtl_foundation.jetstream.bus import Bus, open_bus
from qmtl_foundation.jetstream.streams import CONTROL, ORDERS, event_subject, mark_subject
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2
from qmtl_foundation.pb.qmtl.order.v1 import mark_pb2
from qmtl_foundation.postgres import acquire, transaction
from qmtl_world.apply import store
from qmtl_world.apply.participants import Held, Kind
from qmtl_world.apply.place import ASTRAY, RESEEDED, Place
from qmtl_world.apply.relay import Relay
from qmtl_world.apply.reseed import Reseeding
from qmtl_world.worlds import store as world_store
from qmtl_world.worlds.model import WorldSpec
from tests.support.apply_ground import CAUSE, Ground, open_ground

RELAYS_LOCK = 7309940231


@pytest.fixture
async def ground(migrated_dsn: str) -> AsyncIterator[Ground]:
    async with open_ground(migrated_dsn) as made:
        yield made


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    async with open_bus(nats_url, "test") as opened:
        yield opened


@pytest.fixture
async def relay(ground: Ground, bus: Bus) -> Relay:
    made = Relay(ground.pool, bus, 1, ground.clock, ground.coordinator.hold_astray)
    await made.open()
    return made


async def relayed(relay: Relay) -> None:
    """Let everything be told that may be."""
    while await relay.relay():
        pass


async def stored(bus: Bus, stream: str, subject: str) -> list[Any]:
    """Return the messages of a subject, oldest first."""
    messages: list[Any] = []
    sequence = 1
    while True:
        try:
            found = await bus.jetstream.get_msg(stream, seq=sequence, subject=subject, next=True)
        except nats.js.errors.NotFoundError:
            return messages
        messages.append(found)
        sequence = int(found.seq or 0) + 1


async def told(bus: Bus, world: str) -> list[bytes]:
    """Return what both streams have of a world, in the order in which it came to stand there."""
    events, marks = ((CONTROL, event_subject(world)), (ORDERS, mark_subject(world)))
    both = [*await stored(bus, *events), *await stored(bus, *marks)]
    return [each.data for each in sorted(both, key=lambda each: each.time)]


async def test_an_open_stands_in_its_stream_before_its_unfreeze_does(ground: Ground, bus: Bus, relay: Relay) -> None:
    await ground.start()
    await relayed(relay)
    written = await ground.rows("outbox")
    assert [row["kind"] for row in written] == ["mark", "event", "event", "mark", "event"]
    assert await told(bus, ground.world) == [row["payload"] for row in written]


async def test_a_snapshot_is_never_ahead_of_the_stream(ground: Ground, relay: Relay) -> None:
    async def snapshot() -> int:
        async with acquire(ground.pool) as connection:
            payload = await store.read_relayed(connection, ground.world)
        return 0 if payload is None else int(activation_event_pb2.ActivationEvent.FromString(payload).sequence)

    await ground.start()
    assert await snapshot() == 0
    await relayed(relay)
    assert await snapshot() == 3
    await ground.stop()
    assert await snapshot() == 3


async def test_one_relay_at_a_time(ground: Ground, bus: Bus, relay: Relay) -> None:
    await ground.start()
    async with transaction(ground.pool) as other:
        await other.execute("SELECT pg_advisory_xact_lock($1)", RELAYS_LOCK)
        assert await relay.relay() == 0
        assert await told(bus, ground.world) == []
    await relayed(relay)
    assert len(await told(bus, ground.world)) == 5


async def test_a_subject_that_goes_another_way_is_not_added_to_and_its_world_is_told_no_further(
    ground: Ground, bus: Bus, relay: Relay
) -> None:
    await ground.start()
    await relayed(relay)
    before = await told(bus, ground.world)
    await bus.publish(event_subject(ground.world), b"of another database")
    for hold in ("one", "two"):
        await ground.stop(hold)
    first_fence = (await ground.rows("outbox"))[len(before)]["payload"]
    await relayed(relay)
    assert await told(bus, ground.world) == [*before, b"of another database", first_fence]
    assert (await ground.place()).holds == {"one", "two", ASTRAY}


async def test_nothing_is_told_of_a_world_that_is_held_as_astray(ground: Ground, bus: Bus, relay: Relay) -> None:
    await ground.coordinator.hold_astray(ground.world, "a backup was restored")
    await relayed(relay)
    assert await told(bus, ground.world) == []


async def reseeded(ground: Ground, bus: Bus) -> Place:
    """Reseed the world, as an operator does."""
    reseeding = Reseeding(bus, ground.coordinator)
    ends = await reseeding.look(ground.world)
    async with transaction(ground.pool) as connection:
        return await reseeding.reseed(connection, ground.world, ends, CAUSE)


async def test_a_reseeded_world_is_told_above_everything_that_streams_and_participants_saw(
    ground: Ground, bus: Bus, relay: Relay
) -> None:
    async with transaction(ground.pool) as connection:
        await world_store.add_world(connection, WorldSpec(ground.world, "daily", 252.0))
    await ground.start()
    await relayed(relay)
    with pytest.raises(QmtlError, match="there is nothing to reseed"):
        await reseeded(ground, bus)
    # A backup was restored: the streams hold what the database no longer knows, and one participant saw still more.
    event = activation_event_pb2.ActivationEvent(world=ground.world, sequence=90, epoch=40)
    mark = mark_pb2.Mark(world=ground.world, number=70, epoch=41)
    await bus.publish(event_subject(ground.world), event.SerializeToString())
    await bus.publish(mark_subject(ground.world), mark.SerializeToString())
    await ground.stop()
    await relayed(relay)
    await ground.coordinator.renew(Kind.GATEWAY, "g1", "g1-a", [Held(ground.world, epoch=30, sequence=95)])
    place = await reseeded(ground, bus)
    assert (place.epoch, place.sequence, place.mark) == (42, 96, 71)
    assert (place.is_open, place.holds) == (False, {"operator", RESEEDED})
    await relayed(relay)
    fence, freeze = (await told(bus, ground.world))[-2:]
    assert mark_pb2.Mark.FromString(fence).number == 71
    assert activation_event_pb2.ActivationEvent.FromString(freeze).sequence == 96
    assert (await ground.place()).holds == {"operator", RESEEDED}
