"""Reading a stream in order from a real nats-server: nothing skipped, nothing twice, and a loss is said."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from qmtl_foundation import tracing
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.jetstream.bus import Bus, open_bus
from qmtl_foundation.jetstream.ordered import Delivered, read_after, reading
from qmtl_foundation.jetstream.streams import StreamSpec
from qmtl_sdk.local import nats
from qmtl_sdk.local.stack import down, up
from tests.support.credentials import nats_url_of

LOST_SECONDS = 10.0
STATED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LARGE_BYTES = 100_000


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    async with open_bus(nats_url, "test") as connected:
        yield connected


@pytest.fixture
async def stream(bus: Bus) -> AsyncIterator[str]:
    """Give a stream of the test's own."""
    name = f"s{uuid.uuid4().hex}"
    await bus.ensure_stream(StreamSpec(name, (f"{name}.>",)))
    yield name
    await bus.jetstream.delete_stream(name)


async def publish(bus: Bus, stream: str, *texts: str, subject: str = "a") -> None:
    for text in texts:
        await bus.publish(f"{stream}.{subject}", text.encode())


async def lost(coming: AsyncIterator[Delivered]) -> QmtlError:
    with pytest.raises(QmtlError) as caught:
        async with asyncio.timeout(LOST_SECONDS):
            await anext(coming)
    return caught.value


async def test_what_is_new_is_read_in_order(bus: Bus, stream: str) -> None:
    await publish(bus, stream, "before")
    async with reading(bus, stream, f"{stream}.*") as reader:
        coming = aiter(reader)
        await publish(bus, stream, "one")
        await publish(bus, stream, "two", subject="b")
        read = [await anext(coming), await anext(coming)]
    assert read == [Delivered(2, f"{stream}.a", b"one"), Delivered(3, f"{stream}.b", b"two")]


async def test_a_message_carries_the_trace_within_which_it_was_stored(bus: Bus, stream: str) -> None:
    async with reading(bus, stream, f"{stream}.*") as reader:
        coming = aiter(reader)
        with tracing.span("work", STATED):
            await publish(bus, stream, "one")
            await bus.publish_all(f"{stream}.a", [b"two", b"three"])
            await bus.append(f"{stream}.b", b"four", 0)
        await publish(bus, stream, "five")
        traces = [(await anext(coming)).trace for _ in range(5)]
    assert traces == [STATED] * 4 + [""]


async def test_reading_goes_on_behind_a_place(bus: Bus, stream: str) -> None:
    await publish(bus, stream, "one", "two", "three")
    async with reading(bus, stream, f"{stream}.*", after=1) as reader:
        coming = aiter(reader)
        assert [(await anext(coming)).payload, (await anext(coming)).payload] == [b"two", b"three"]


async def test_only_the_subjects_asked_for_are_read(bus: Bus, stream: str) -> None:
    for subject in ("a", "b", "c"):
        await publish(bus, stream, subject, subject=subject)
    async with reading(bus, stream, f"{stream}.a", f"{stream}.c", after=0) as reader:
        coming = aiter(reader)
        assert [(await anext(coming)).position, (await anext(coming)).position] == [1, 3]


async def test_a_reader_knows_how_much_is_still_to_be_read(bus: Bus, stream: str) -> None:
    await publish(bus, stream, "one", "two")
    async with reading(bus, stream, f"{stream}.a", after=0) as reader:
        assert not await reader.is_quiet()
        assert await reader.next() is not None
        assert reader.behind == 1
        assert await reader.next() is not None
        assert (reader.behind, await reader.is_quiet()) == (0, True)
        assert await reader.next() is None  # a heartbeat


async def test_more_is_read_than_the_server_sends_before_it_asks_how_much_was_taken(bus: Bus, stream: str) -> None:
    count = 100
    await bus.publish_all(f"{stream}.a", [bytes(LARGE_BYTES)] * count)
    async with reading(bus, stream, f"{stream}.a", after=0) as reader, asyncio.timeout(LOST_SECONDS):
        coming = aiter(reader)
        assert [(await anext(coming)).position for _ in range(count)] == list(range(1, count + 1))


async def test_a_consumer_that_is_gone_ends_the_reading(bus: Bus, stream: str) -> None:
    async with reading(bus, stream, f"{stream}.*") as reader:
        (consumer,) = await bus.jetstream.consumers_info(stream)
        await bus.jetstream.delete_consumer(stream, consumer.name)
        error = await lost(aiter(reader))
    assert (error.reason, error.metadata) == (Reason.DEPENDENCY_UNAVAILABLE, {"dependency": "nats"})


async def test_a_delivery_that_did_not_arrive_ends_the_reading(bus: Bus, stream: str) -> None:
    """The next delivery shows it, or without one the next heartbeat."""
    for followed_by_another in (True, False):
        async with reading(bus, stream, f"{stream}.*") as reader:
            (consumer,) = [each for each in await bus.jetstream.consumers_info(stream) if each.push_bound]
            inbox = consumer.config.deliver_subject
            (number,) = [key for key, each in bus.connection._subs.items() if each.subject == inbox]
            kept = bus.connection._subs.pop(number)
            await publish(bus, stream, "lost on the way")
            await bus.connection.flush()
            bus.connection._subs[number] = kept
            if followed_by_another:
                await publish(bus, stream, "next")
            assert "deliver" in (await lost(aiter(reader))).message


async def test_a_restarted_server_ends_the_reading_and_the_next_one_misses_nothing(state_dir: Path) -> None:
    def start() -> str:
        (process,) = [each for each in up(state_dir, services=()).processes if each.name == nats.NAME]
        return nats_url_of(process)

    async with open_bus(await asyncio.to_thread(start), "test") as bus:
        await bus.ensure_stream(StreamSpec("kept", ("kept.>",)))
        async with reading(bus, "kept", "kept.*") as reader:
            await asyncio.to_thread(down, state_dir)
            await asyncio.to_thread(start)
            await lost(aiter(reader))
        async with reading(bus, "kept", "kept.*") as again:
            await publish(bus, "kept", "after")
            assert (await anext(aiter(again))).payload == b"after"


async def test_there_is_nothing_to_read_of_a_stream_that_is_not_there(bus: Bus) -> None:
    with pytest.raises(QmtlError):
        async with reading(bus, "nowhere", "nowhere.*"):
            pass


async def test_what_stands_behind_a_place_is_read_in_batches(bus: Bus, stream: str) -> None:
    await publish(bus, stream, "one", "two", "three")
    await publish(bus, stream, "other", subject="b")
    first = await read_after(bus, stream, f"{stream}.a", 0, 2)
    assert [(each.position, each.payload) for each in first] == [(1, b"one"), (2, b"two")]
    assert [each.position for each in await read_after(bus, stream, f"{stream}.a", 2, 2)] == [3]
    assert await read_after(bus, stream, f"{stream}.a", 3, 2) == []
    assert await read_after(bus, stream, f"{stream}.a", 99, 2) == []
