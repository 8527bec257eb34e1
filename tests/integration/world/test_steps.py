"""Steps of a world on the real PostgreSQL: one after the other, whole or not at all, and taken when they are due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace

import asyncpg
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.identity import EVENT_CONTEXT, bytes_id
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2
from qmtl_foundation.pb.qmtl.order.v1 import mark_pb2
from qmtl_foundation.postgres import acquire, transaction
from qmtl_world.apply import store
from qmtl_world.apply.machine import REPEAT_AFTER, awaited
from qmtl_world.apply.participants import Held, Kind
from qmtl_world.apply.place import ASTRAY, RESEEDED, SWITCH_FAILED, MarkKind, Phase, Place, Reseed
from tests.support.apply_ground import CAUSE, EXECUTOR, PLAN, TRADES, Ground, open_ground

STOPS = 8
BOUND_SECONDS = 10.0  # twice what a place stays locked by one of whom nothing is heard


@pytest.fixture
async def ground(migrated_dsn: str) -> AsyncIterator[Ground]:
    async with open_ground(migrated_dsn) as made:
        yield made


async def test_steps_at_once_are_one_after_the_other(ground: Ground) -> None:
    await ground.stop("first")
    await asyncio.gather(*(ground.stop(f"hold-{number}") for number in range(STOPS)))
    place = await ground.place()
    assert (place.epoch, place.sequence, place.mark) == (STOPS + 1,) * 3
    assert len(place.holds) == STOPS + 1


async def test_a_replica_that_stands_still_within_a_step_gives_its_lock_back(ground: Ground) -> None:
    await ground.stop("first")
    with pytest.raises(QmtlError, match="PostgreSQL does not answer"):
        await _stand_still(ground, ground.stop("second"))
    assert (await ground.place()).holds == {"first", "second"}


async def _stand_still(ground: Ground, meanwhile: Awaitable[None]) -> None:
    """Lock a place, and go on only when somebody else has taken a step."""
    async with transaction(ground.pool) as paused:
        await store.lock_place(paused, ground.world)
        await asyncio.wait_for(meanwhile, BOUND_SECONDS)
        await paused.execute("SELECT 1")


async def test_a_step_that_cannot_be_stored_leaves_nothing_of_itself(ground: Ground) -> None:
    async with ground.broken("audit", "true"):  # what a step writes last
        with pytest.raises(asyncpg.RaiseError):
            await ground.stop()
    assert await ground.place() == Place(ground.world)
    assert await ground.rows("outbox") == []


async def test_a_switch_that_cannot_be_stored_ends_with_the_prior_set_held(ground: Ground) -> None:
    await ground.enrol()
    await ground.coordinator.renew(Kind.EXECUTOR, EXECUTOR, "one", [])
    await ground.start(TRADES)
    async with ground.broken("place", "NEW.activations IS DISTINCT FROM OLD.activations"):
        await ground.passed()
    place = await ground.place()
    assert place.run is not None
    assert (place.run.phase, place.holds, place.activations) == (Phase.ROLLED_BACK, {SWITCH_FAILED}, ())
    assert await ground.rows("acknowledgement") == []  # it was part of the step


async def test_each_event_names_the_one_before_it(ground: Ground) -> None:
    await ground.start()  # nobody is waited for: one step, three events
    await ground.stop()
    told = [row["payload"] for row in await ground.rows("outbox") if row["kind"] == "event"]
    hashes = [bytes_id(EVENT_CONTEXT, each) for each in told]
    named = [activation_event_pb2.ActivationEvent.FromString(each).previous_event_hash for each in told]
    assert named == ["", *hashes[:-1]]
    assert len(named) == 4


async def test_an_open_carries_the_set_of_its_epoch(ground: Ground) -> None:
    await ground.start()
    rows = [row["payload"] for row in await ground.rows("outbox") if row["kind"] == "mark"]
    fence, opened = [mark_pb2.Mark.FromString(each) for each in rows]
    assert (fence.kind, fence.HasField("activation_set")) == (mark_pb2.MARK_KIND_FENCE, False)
    assert (opened.kind, opened.activation_set.epoch) == (mark_pb2.MARK_KIND_OPEN, opened.epoch)
    assert [each.strategy_id for each in opened.activation_set.activations] == [each.strategy_id for each in PLAN]


async def test_an_acknowledgement_is_stored_where_it_counts_and_only_there(ground: Ground) -> None:
    await ground.enrol()
    await ground.coordinator.renew(Kind.EXECUTOR, EXECUTOR, "one", [])
    place = await ground.start(TRADES)
    with pytest.raises(QmtlError) as refused:
        await ground.passed(epoch=place.epoch - 1)
    assert refused.value.reason is Reason.ACKNOWLEDGEMENT_MISMATCH
    assert await ground.rows("acknowledgement") == []
    await ground.passed()
    (row,) = await ground.rows("acknowledgement")
    assert (row["kind"], row["participant"], row["incarnation"]) == ("executor", EXECUTOR, "one")
    assert (row["epoch"], row["phase"], row["mark"]) == (place.epoch, "freeze", place.mark)


async def test_an_executor_is_told_of_the_purge_of_its_own_stream_only(ground: Ground) -> None:
    await ground.enrol()
    async with acquire(ground.pool) as connection:
        await connection.execute("TRUNCATE purged")
        await connection.execute("INSERT INTO purged (generation, position) VALUES ('stream-1', 40)")
    for generation, expected in (("stream-1", ("stream-1", 40)), ("stream-2", ("", 0))):
        held = Held(ground.world, 0, position=50, generation=generation)
        places = await ground.coordinator.renew(Kind.EXECUTOR, EXECUTOR, "one", [held])
        told = [(each.purge_generation, each.purged) for each in places if each.world == ground.world]
        assert told == [expected]


async def test_a_world_whose_executor_found_its_journal_restored_is_held_once_and_told_so_at_once(
    ground: Ground,
) -> None:
    await ground.enrol()
    await ground.coordinator.renew(Kind.EXECUTOR, EXECUTOR, "one", [])
    before = await ground.place()
    held = Held(ground.world, before.epoch, mark=before.mark, unsure=True, restored_mark=before.mark)
    for _ in range(2):
        places = await ground.coordinator.renew(Kind.EXECUTOR, EXECUTOR, "one", [held])
        (told,) = (each for each in places if each.world == ground.world)
        place = await ground.place()
        assert (told.epoch, told.is_open) == (place.epoch, False)
        assert (place.holds, place.epoch) == ({ASTRAY}, before.epoch + 1)
    async with transaction(ground.pool) as connection:
        await ground.coordinator.step(connection, ground.world, Reseed(place.epoch, place.sequence, place.mark), CAUSE)
    await ground.coordinator.renew(Kind.EXECUTOR, EXECUTOR, "one", [held])  # it has not passed the reseed's Fence yet
    place = await ground.place()
    assert (place.holds, place.reseed_mark) == ({RESEEDED}, place.mark)
    again = replace(held, mark=place.mark, restored_mark=place.mark)  # and once more
    await ground.coordinator.renew(Kind.EXECUTOR, EXECUTOR, "one", [again])
    assert (await ground.place()).holds == {RESEEDED, ASTRAY}


async def test_a_mark_of_a_former_enrolment_or_a_replaced_start_is_not_acknowledged(ground: Ground) -> None:
    former = await ground.enrol()
    await ground.coordinator.renew(Kind.EXECUTOR, EXECUTOR, "one", [])
    await ground.deregister()
    assert await ground.enrol() > former
    with pytest.raises(QmtlError) as refused:
        await ground.passed(mark=former)
    assert (refused.value.reason, refused.value.metadata["field"]) == (Reason.ACKNOWLEDGEMENT_MISMATCH, "mark")
    await ground.coordinator.renew(Kind.EXECUTOR, EXECUTOR, "two", [])
    with pytest.raises(QmtlError) as refused:
        await ground.passed()
    assert refused.value.reason is Reason.FOREIGN_INCARNATION
    assert (await ground.place()).fenced == frozenset()
    assert (await ground.passed(incarnation="two")).fenced == {EXECUTOR}


async def test_an_executor_that_says_it_missed_something_gets_the_marks_again(ground: Ground) -> None:
    await ground.enrol()
    await ground.coordinator.renew(Kind.EXECUTOR, EXECUTOR, "one", [])
    before = await ground.passed()
    held = Held(ground.world, before.epoch, mark=before.mark, unsure=True)
    await ground.coordinator.renew(Kind.EXECUTOR, EXECUTOR, "one", [held])
    after = await ground.place()
    assert (after.mark, after.epoch, after.fenced) == (before.mark + 1, before.epoch, frozenset())


async def test_a_world_of_which_more_was_seen_than_written_is_held(ground: Ground) -> None:
    await ground.start()
    place = await ground.place()
    known = Held(ground.world, place.epoch, place.sequence, place.mark)
    await ground.coordinator.renew(Kind.GATEWAY, "g1", "g1-a", [known])
    assert (await ground.place()).holds == frozenset()
    more = Held(ground.world, place.epoch, place.sequence + 1)
    await ground.coordinator.renew(Kind.GATEWAY, "g1", "g1-a", [more])
    assert (await ground.place()).holds == {ASTRAY}


async def test_a_run_awaits_each_gateway_until_its_lease_has_ended(ground: Ground) -> None:
    gateway = await ground.lease()
    place = await ground.start()
    assert awaited(place) == ((gateway.name,), ())
    await ground.coordinator.look()
    assert await ground.place() == place
    await ground.run_sql("UPDATE participant SET expire_time = clock_timestamp()")
    await ground.coordinator.look()
    after = await ground.place()
    assert after.run is not None
    assert (after.run.phase, after.activations) == (Phase.COMPLETED, PLAN)


async def test_what_is_due_is_found_and_done(ground: Ground) -> None:
    await ground.enrol()
    before = await ground.start(TRADES)  # the executor says nothing
    await ground.coordinator.look()
    assert await ground.place() == before
    ground.later(REPEAT_AFTER)
    await ground.coordinator.look()
    repeated = await ground.place()
    assert (repeated.mark, repeated.epoch) == (before.mark + 1, before.epoch)
    assert repeated.run is not None
    ground.clock.now = repeated.run.deadline
    await ground.coordinator.look()
    back = await ground.place()
    assert back.run is not None
    assert (back.run.phase, back.epoch, back.is_open) == (Phase.REOPENING, before.epoch + 1, True)


async def test_a_world_whose_step_fails_keeps_no_other_waiting(ground: Ground) -> None:
    other = f"{ground.world}_other"
    for world in (ground.world, other):  # the broken one is due first
        await ground.enrol(world=world)
        await ground.start(TRADES, world=world)
        ground.later(REPEAT_AFTER / 10)
    before = await ground.place(other)
    ground.later(REPEAT_AFTER)
    async with ground.broken("place", "true"):
        await ground.coordinator.look()
    assert (await ground.place(other)).mark == before.mark + 1
    await ground.coordinator.look()
    assert (await ground.place()).fenced == frozenset()
    assert (await ground.place()).mark == before.mark + 1


async def test_a_run_that_is_open_everywhere_is_complete(ground: Ground) -> None:
    await ground.enrol()
    await ground.coordinator.renew(Kind.EXECUTOR, EXECUTOR, "one", [])
    await ground.start(TRADES)
    await ground.passed()
    place = await ground.passed(MarkKind.OPEN)
    assert place.run is not None
    assert (place.run.phase, place.is_settled, place.activations) == (Phase.COMPLETED, True, TRADES)
