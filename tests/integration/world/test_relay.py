"""A world's two streams: each event and mark once, in order, events chained by hash; a wiped one holds the world."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import nats
import nats.js.errors

from qmtl_foundation.identity import EVENT_CONTEXT, bytes_id
from qmtl_foundation.jetstream.streams import CONTROL, EVENT_ID, ORDERS, event_subject, mark_subject
from qmtl_foundation.pb.qmtl.apply.v1 import apply_service_pb2
from qmtl_foundation.pb.qmtl.control.v1 import activation_event_pb2
from qmtl_foundation.pb.qmtl.order.v1 import mark_pb2
from qmtl_sdk.local.progress import ProcessStatus
from qmtl_world.apply.place import ASTRAY, RESEEDED
from qmtl_world.apply.relay import Turn, turn
from tests.support.credentials import nats_url_of
from tests.support.desk import (
    Asked,
    Desk,
    at_rest,
    evaluate,
    make_world,
    metrics,
    relayed_set,
    request_id,
    returns,
    world_status,
)
from tests.support.waiting import wait_until

NAMES = ("A", "B", "C")


@asynccontextmanager
async def truths(parts: dict[str, ProcessStatus]) -> AsyncIterator[tuple[Any, Any]]:
    """Yield the JetStream and the database of the stack."""
    client = await nats.connect(nats_url_of(parts["nats"]))
    connection = await asyncpg.connect(parts["postgres"].address)
    try:
        yield client.jetstream(), connection
    finally:
        await connection.close()
        await client.close()


def applied_world(desk: Desk) -> str:
    """Make a world that had one run for each name."""
    world = make_world(desk)
    for name in NAMES:
        evaluate(desk, Asked(world, name), returns(seed=ord(name)))
    relayed_set(desk, world, len(NAMES))
    return world


async def stored(jetstream: Any, stream: str, subject: str) -> list[Any]:
    """Return the messages of a subject, oldest first."""
    messages: list[Any] = []
    sequence = 1
    while True:
        try:
            found = await jetstream.get_msg(stream, seq=sequence, subject=subject, next=True)
        except nats.js.errors.NotFoundError:
            return messages
        messages.append(found)
        sequence = found.seq + 1


def test_a_row_is_placed_by_its_number() -> None:
    assert turn(1, 0) is Turn.NEXT
    assert turn(4, 3) is Turn.NEXT
    assert turn(3, 3) is Turn.THERE
    assert turn(2, 5) is Turn.THERE
    assert turn(3, 1) is Turn.ASTRAY
    assert turn(2, 0) is Turn.ASTRAY
    assert turn(1, None) is Turn.ASTRAY


async def test_each_event_and_mark_stands_once_in_order_and_events_are_chained(
    desk: Desk, parts: dict[str, ProcessStatus]
) -> None:
    world = applied_world(desk)
    async with truths(parts) as (jetstream, _):
        told = await stored(jetstream, CONTROL, event_subject(world))
        marked = await stored(jetstream, ORDERS, mark_subject(world))
    events = [activation_event_pb2.ActivationEvent.FromString(each.data) for each in told]
    assert [(each.world, each.sequence) for each in events] == [(world, n) for n in range(1, 10)]
    assert [each.epoch for each in events] == [2, 2, 2, 3, 3, 3, 4, 4, 4]
    freeze, switch, unfreeze = 1, 2, 3
    assert [each.kind for each in events] == [freeze, switch, unfreeze] * 3
    assert [each.headers[EVENT_ID] for each in told] == [each.event_id for each in events]
    hashes = [bytes_id(EVENT_CONTEXT, each.data) for each in told]
    assert [each.previous_event_hash for each in events] == ["", *hashes[:-1]]
    assert len({each.timeline_id for each in events}) == 1
    assert [len(each.activation_set.activations) for each in events[2::3]] == [1, 2, 3]
    assert events[-1].activation_set == relayed_set(desk, world, 3)
    marks = [mark_pb2.Mark.FromString(each.data) for each in marked]
    assert [each.number for each in marks] == list(range(1, len(marks) + 1))
    fences = {each.epoch for each in marks if each.kind == mark_pb2.MARK_KIND_FENCE}
    opens = [each for each in marks if each.kind == mark_pb2.MARK_KIND_OPEN]
    assert (fences, {each.epoch for each in opens}) == ({1, 2, 3, 4}, {2, 3, 4})
    assert opens[-1].activation_set.activations == events[-1].activation_set.activations
    assert world_status(desk, world).sequence == 9


async def test_rows_whose_commit_was_lost_are_found_in_the_streams_and_not_sent_again(
    desk: Desk, parts: dict[str, ProcessStatus]
) -> None:
    world = applied_world(desk)
    async with truths(parts) as (jetstream, connection):
        subjects = ((CONTROL, event_subject(world)), (ORDERS, mark_subject(world)))
        before = [[each.seq for each in await stored(jetstream, *subject)] for subject in subjects]
        async with connection.transaction():
            await connection.execute("UPDATE world.outbox SET publish_time = NULL WHERE world = $1", world)
            await connection.execute("DELETE FROM world.relayed WHERE world = $1", world)
            await connection.execute("SELECT pg_notify('apply_step', $1)", world)
        relayed_set(desk, world, len(NAMES))
        assert [[each.seq for each in await stored(jetstream, *subject)] for subject in subjects] == before
    evaluate(desk, Asked(world, "A", period=9), returns(0.003, seed=9))
    assert relayed_set(desk, world, 4).sequence == 12


async def test_a_world_whose_stream_was_wiped_is_held_until_it_is_reseeded(
    desk: Desk, parts: dict[str, ProcessStatus]
) -> None:
    world, other = applied_world(desk), make_world(desk)
    request = apply_service_pb2.GetActivationRequest(world=world)
    async with truths(parts) as (jetstream, _):
        await jetstream.purge_stream(CONTROL, subject=event_subject(world))
        evaluate(desk, Asked(world, "A", period=9), returns(0.003, seed=9))
        wait_until(lambda: list(desk.applies.GetActivation(request).holds) == [ASTRAY])
        assert f"{event_subject(world)} ends with ''" in parts["world"].log.read_text()
        evaluate(desk, Asked(other))
        relayed_set(desk, other, 1)
        assert await stored(jetstream, CONTROL, event_subject(world)) == []
        wait_until(lambda: metrics(parts["world"].metrics_address).get(f"world_held/{ASTRAY}") == 1.0)
        asked = apply_service_pb2.ReseedWorldRequest(
            world=world, reason="the stream was wiped", request_id=request_id()
        )
        reseeded = desk.applies.ReseedWorld(asked)
        assert list(reseeded.holds) == [RESEEDED]
        assert desk.applies.ReseedWorld(asked) == reseeded  # once under its id
        resume = apply_service_pb2.ResumeWorldRequest(world=world, run_id=request_id(), hold=RESEEDED)
        assert desk.applies.ResumeWorld(resume).run.clears_hold == RESEEDED
        wait_until(lambda: at_rest(desk, world).open)
        events = await stored(jetstream, CONTROL, event_subject(world))
    first = activation_event_pb2.ActivationEvent.FromString(events[0].data)
    assert first.sequence == reseeded.sequence > 9
    assert list(desk.applies.GetActivation(request).holds) == []
