"""The order stream is purged of what everybody has settled, and of nothing else; no executor takes that for a loss."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import nats.js.errors
import pytest

from qmtl_executor.model import Purged
from qmtl_foundation.clock import utc_now
from qmtl_foundation.execution_domain import EffectiveMode
from qmtl_foundation.identity import bytes_id
from qmtl_foundation.jetstream.streams import EVENT_ID, ORDERS, mark_subject, order_stream
from qmtl_foundation.pb.qmtl.order.v1 import mark_pb2
from qmtl_foundation.postgres import acquire, open_pool, transaction
from qmtl_foundation.postgres.pool import Pool
from qmtl_foundation.settings import Secret
from qmtl_world.apply import participants
from qmtl_world.apply.participants import Held
from qmtl_world.apply.purge import KEPT_BYTES, Purge
from tests.support.executor_rig import Rig, open_rig, outcomes
from tests.support.simulated_venue import Exchange, SimulatedVenue

pytestmark = pytest.mark.usefixtures("fresh_stream")


@pytest.fixture
async def rigs(migrated_dsn: str, nats_url: str, exchange: Exchange) -> AsyncIterator[tuple[Rig, Rig]]:
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(open_rig(migrated_dsn, nats_url, lambda _: SimulatedVenue(exchange)))
            for _ in range(2)
        ]
        yield opened[0], opened[1]


@pytest.fixture
async def fresh_stream(rigs: tuple[Rig, Rig]) -> None:
    """Let the stream be of the test alone: other worlds have executors that this database knows nothing of."""
    await rigs[0].bus.jetstream.delete_stream(ORDERS)
    await rigs[0].bus.ensure_stream(order_stream(1))


@pytest.fixture
async def truth(migrated_dsn: str) -> AsyncIterator[Pool]:
    """Give the world service's database, without enrolments of other tests."""
    async with open_pool(Secret(migrated_dsn), "world") as pool:
        async with acquire(pool) as connection:
            await connection.execute("TRUNCATE enrolment, purged")
        yield pool


async def enrol(truth: Pool, rig: Rig) -> None:
    async with transaction(truth) as connection:
        await participants.enrol(connection, rig.world.name, rig.executor, EffectiveMode.PAPER, 1, utc_now())


async def told(truth: Pool, rig: Rig) -> int:
    """Let an executor say how far it is, as stored; return up to where it is told that the stream is purged."""
    (row,) = await rig.rows("place")
    held = Held(rig.world.name, row["fence"], position=row["position"], generation=row["generation"])
    async with transaction(truth) as connection:
        await participants.note_held(connection, rig.executor, [held])
    async with acquire(truth) as connection:
        # The place of the world itself is not needed to read an enrolment's purge.
        query = (
            "SELECT coalesce(g.position, 0) FROM enrolment e LEFT JOIN purged g USING (generation) WHERE executor = $1"
        )
        position: int = await connection.fetchval(query, rig.executor)
    return position


async def stored(rig: Rig) -> list[int]:
    """Return the sequences that the stream has."""
    state = await rig.bus.state(ORDERS)
    return [each for each in range(1, state.last + 1) if await _is_there(rig, each)]


async def _is_there(rig: Rig, sequence: int) -> bool:
    try:
        await rig.bus.jetstream.get_msg(ORDERS, sequence)
    except nats.js.errors.NotFoundError:
        return False
    return True


async def test_what_the_slowest_executor_has_not_settled_stays_and_the_newest_marks_do(
    rigs: tuple[Rig, Rig], truth: Pool, exchange: Exchange
) -> None:
    quick, slow = rigs
    for rig in rigs:
        await enrol(truth, rig)
        await rig.world.fence()
        await rig.world.open()
    purge = Purge(truth, quick.bus, kept_bytes=0)
    assert await purge.purge() == 0  # nobody has said anything yet
    async with slow.started():
        await slow.until_at(4)
    settled = await slow.position()
    await slow.world.send(slow.world.intent(bar=1))
    async with quick.started():
        for bar in range(1, 6):
            await quick.until_at((await quick.world.send(quick.world.intent(bar=bar)))[0])
    await told(truth, quick)
    assert await purge.purge() == 0  # the slow one has not
    await told(truth, slow)
    assert await purge.purge() == settled == 4
    assert await stored(quick) == [2, 4, *range(5, 11)]  # the newest mark of each world, and what is not settled
    assert await told(truth, slow) == await told(truth, quick) == 4
    await slow.world.send(slow.world.intent(bar=2))
    for rig in rigs:
        rig.world.purged = Purged((await rig.bus.state(ORDERS)).generation, 4)
        async with rig.started() as start:
            (position,) = await rig.world.send(rig.world.intent(bar=9))
            await rig.until_at(position)
            assert start.follower is not None
            assert start.place is not None
            assert not start.place.unsure
    assert [len(await rig.rows("journal")) for rig in rigs] == [5 + 1, 2 + 1]
    assert [await rig.rows("turned_away") for rig in rigs] == [[], []]
    assert list(exchange.reached.values()) == [1, 1]  # the same target again is left as it is


async def test_a_place_behind_the_purge_closes_though_older_marks_still_stand(
    rigs: tuple[Rig, Rig], truth: Pool, exchange: Exchange
) -> None:
    idle, restored = rigs
    await enrol(truth, restored)
    await idle.world.fence()
    await restored.world.fence()
    opened = await restored.world.open()
    async with restored.started():
        await restored.until_at(opened)
        before = await restored.rows("place")
        (position,) = await restored.world.send(restored.world.intent(bar=1))
        await restored.until_at(position)
    await told(truth, restored)
    assert await Purge(truth, idle.bus, kept_bytes=0).purge() == position
    assert await stored(idle) == [1, opened]
    async with acquire(restored.pool) as connection:  # its database is set back to before the intent
        await connection.execute(
            "UPDATE place SET position = $2 WHERE executor = $1", restored.executor, before[0]["position"]
        )
    (later,) = await restored.world.send(restored.world.intent(bar=2))
    restored.world.purged = Purged((await idle.bus.state(ORDERS)).generation, position)
    async with restored.started():
        await restored.until_at(later)
        assert outcomes(await restored.reports(2)) == ["filled", "fenced"]
    assert list(exchange.reached.values()) == [1]


async def test_a_relay_goes_on_behind_the_newest_mark(rigs: tuple[Rig, Rig], truth: Pool) -> None:
    rig, _ = rigs
    await enrol(truth, rig)
    await rig.world.fence()
    newest = await rig.world.open()
    async with rig.started():
        await rig.until_at(newest)
    await told(truth, rig)
    assert await Purge(truth, rig.bus, kept_bytes=0).purge() == newest
    payload = mark_pb2.Mark(world=rig.world.name, number=3).SerializeToString()
    subject = mark_subject(rig.world.name)
    assert await rig.bus.append(subject, payload, newest, {EVENT_ID: bytes_id("mark", payload)}) == newest + 1


async def test_positions_of_a_stream_that_is_gone_purge_nothing(rigs: tuple[Rig, Rig], truth: Pool) -> None:
    rig, _ = rigs
    await enrol(truth, rig)
    await rig.world.fence()
    position = await rig.world.open()
    async with rig.started():
        await rig.until_at(position)
    await told(truth, rig)
    await rig.bus.jetstream.delete_stream(ORDERS)
    await rig.bus.ensure_stream(order_stream(1))
    for _ in range(5):
        await rig.world.send(rig.world.intent())
    assert await Purge(truth, rig.bus, kept_bytes=0).purge() == 0
    assert await stored(rig) == [1, 2, 3, 4, 5]


async def test_a_stream_with_room_is_left_whole(rigs: tuple[Rig, Rig], truth: Pool) -> None:
    rig, _ = rigs
    await enrol(truth, rig)
    position = await rig.world.fence()
    async with rig.started():
        await rig.until_at(position)
    await told(truth, rig)
    assert await Purge(truth, rig.bus).purge() == 0
    assert (await rig.bus.state(ORDERS)).used_bytes < KEPT_BYTES
    assert await Purge(truth, rig.bus, kept_bytes=0).purge() == position
