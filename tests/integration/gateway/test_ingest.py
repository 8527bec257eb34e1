"""The ingest stream against a real nats-server: who holds a message, and what a subscription leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from nats.js.api import AckPolicy, ConsumerConfig

from qmtl_foundation.jetstream.bus import Bus, open_bus
from qmtl_foundation.jetstream.streams import INGEST
from qmtl_foundation.pb.qmtl.submission.v1 import submission_pb2
from qmtl_gateway.submission import ingest
from qmtl_sdk.local.progress import ProcessStatus
from tests.support.credentials import nats_url_of
from tests.support.desk import CALL_SECONDS, Asked, Desk, ended, make_world
from tests.support.waiting import becomes, wait_until

SHORT_WAIT_SECONDS = 0.4


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    """Give a connection to a server whose ingest stream is new, and whose consumer waits briefly."""
    async with open_bus(nats_url, "test") as connected:
        await ingest.open_ingest(connected, replicas=1)
        config = ConsumerConfig(ingest.CONSUMER, ack_policy=AckPolicy.EXPLICIT, ack_wait=SHORT_WAIT_SECONDS)
        await connected.jetstream.add_consumer(INGEST, config)
        yield connected
        await connected.jetstream.delete_stream(INGEST)


async def waiting(bus: Bus) -> int:
    """Return how many requests for messages the server keeps."""
    return int((await bus.jetstream.consumer_info(INGEST, ingest.CONSUMER)).num_waiting or 0)


async def test_a_message_that_is_held_goes_to_nobody_else_and_one_that_is_dropped_does(bus: Bus) -> None:
    await ingest.append(bus, "one")
    mine, other = await ingest.subscribe(bus), await ingest.subscribe(bus)
    message = await ingest.fetch(mine)
    async with ingest.held(message, SHORT_WAIT_SECONDS / 4):
        with pytest.raises(TimeoutError):
            await other.fetch(1, timeout=3 * SHORT_WAIT_SECONDS)
    again = await ingest.fetch(other)
    assert again is not None
    assert (again.data, again.metadata.num_delivered) == (b"one", 2)


async def test_a_subscription_that_ends_asks_for_nothing_any_more(bus: Bus) -> None:
    subscription = await ingest.subscribe(bus)
    fetching = asyncio.create_task(ingest.fetch(subscription))
    await becomes(lambda: waiting(bus), 1)
    fetching.cancel()
    await ingest.unsubscribe(subscription)
    await becomes(lambda: waiting(bus), 0)


async def test_a_fault_while_taking_submissions_ends_no_gateway(desk: Desk, parts: dict[str, ProcessStatus]) -> None:
    world, log = make_world(desk), parts["gateway"].log
    database = await asyncpg.connect(parts["postgres"].address)
    async with open_bus(nats_url_of(parts["nats"]), "test") as stacks:
        await database.execute("ALTER TABLE gateway.submission RENAME TO submission_away")
        try:
            await stacks.jetstream.delete_stream(INGEST)  # the worker makes it again, and reads what is pending
            await asyncio.to_thread(wait_until, lambda: "UndefinedTableError" in log.read_text(), 15.0)
        finally:
            await database.execute("ALTER TABLE gateway.submission_away RENAME TO submission")
            await database.close()
    accepted = desk.submissions.Submit(Asked(world).request(), timeout=CALL_SECONDS).submission
    assert ended(desk, accepted.submission_id).state == submission_pb2.SUBMISSION_STATE_READY
