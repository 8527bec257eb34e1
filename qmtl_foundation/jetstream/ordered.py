"""Read a stream in order by an ephemeral consumer that says so when it may have lost something.

The server numbers what it delivers and repeats the newest number in a heartbeat each second. A number that is missing,
or no sign of life for three, means that the consumer is gone or behind (a restarted server forgets it): reading ends
with an error, and the reader begins anew where it knows that nothing is missed. (nats-py's own ordered consumer goes
on by itself then, without a look at whether the stream is still the one that it was.)
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import nats.errors
import nats.js.errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, Header

from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.jetstream.bus import Bus, translated_errors
from qmtl_foundation.tracing import TRACEPARENT

HEARTBEAT_SECONDS: Final = 1.0
SILENCE_SECONDS: Final = 3.0  # without a sign of life the consumer counts as gone
READ_SECONDS: Final = 2.0
FORGET_SECONDS: Final = 10.0  # after which the server forgets a consumer that nobody listens to


@dataclass(frozen=True, slots=True)
class Delivered:
    """Hold one message: its place in the stream, from 1, its subject and its bytes, and the trace it belongs to."""

    position: int
    subject: str
    payload: bytes
    trace: str = ""


class OrderedReader:
    """Hand out the messages of a consumer, each once, in the order of the stream.

    ``behind`` is how many more the stream had when it delivered the newest one.
    """

    def __init__(self, bus: Bus, subscription: Any, stream: str, consumer: str) -> None:
        self.behind = 0
        self._bus = bus
        self._subscription = subscription
        self._stream = stream
        self._consumer = consumer
        self._number = 0  # of the consumer's newest delivery

    async def __aiter__(self) -> AsyncIterator[Delivered]:
        """Yield each message; raise QmtlError(DEPENDENCY_UNAVAILABLE) when one may have been lost."""
        while True:
            heed_cancellation()
            delivered = await self.next()
            if delivered is not None:
                yield delivered

    async def next(self) -> Delivered | None:
        """Return the next message, None at a heartbeat, when there is none.

        Raises QmtlError(DEPENDENCY_UNAVAILABLE) when a message may have been lost.
        """
        with translated_errors():
            message = await self._subscription.next_msg(timeout=SILENCE_SECONDS)
        headers = message.headers or {}
        if Header.STATUS in headers:
            if headers.get(Header.LAST_CONSUMER, str(self._number)) != str(self._number):
                raise _lost(f"delivery {headers[Header.LAST_CONSUMER]} did not arrive")
            await self._go_on(message.reply or headers.get(Header.CONSUMER_STALLED))
            return None
        numbers = message.metadata.sequence
        if numbers.consumer != self._number + 1:
            raise _lost(f"delivery {numbers.consumer} arrived behind {self._number}")
        self._number, self.behind = numbers.consumer, message.metadata.num_pending
        return Delivered(numbers.stream, message.subject, message.data, headers.get(TRACEPARENT, ""))

    async def is_quiet(self) -> bool:
        """Tell whether everything of these subjects that the stream has by now was handed out."""
        with translated_errors():
            info = await self._bus.jetstream.consumer_info(self._stream, self._consumer)
        return bool(info.num_pending == 0 and info.delivered.consumer_seq == self._number)

    async def _go_on(self, answer: str | None) -> None:
        """Answer the server that delivers no more before it is told that so much was taken, by flow control."""
        if answer:
            with translated_errors():
                await self._bus.connection.publish(answer)


@asynccontextmanager
async def reading(bus: Bus, stream: str, *subjects: str, after: int | None = None) -> AsyncIterator[OrderedReader]:
    """Yield a reader of what stands behind a place of the stream; of what is new where ``after`` is None.

    Everything published from here on is read; the server forgets the consumer afterwards.
    Raises QmtlError(DEPENDENCY_UNAVAILABLE) when there is no such stream.
    """
    inbox = bus.connection.new_inbox()
    config = _consumer(after).evolve(
        filter_subjects=list(subjects),
        deliver_subject=inbox,
        max_deliver=1,
        flow_control=True,
        idle_heartbeat=HEARTBEAT_SECONDS,
        num_replicas=1,
        mem_storage=True,
    )
    with translated_errors():
        subscription = await bus.connection.subscribe(inbox)
    try:
        with translated_errors():
            consumer = await bus.jetstream.add_consumer(stream, config)
        yield OrderedReader(bus, subscription, stream, consumer.name)
    finally:
        with suppress(nats.errors.Error):
            await subscription.unsubscribe()


async def read_after(bus: Bus, stream: str, subject: str, after: int, limit: int) -> list[Delivered]:
    """Return the first messages behind a place of the stream, at most ``limit``; none when none stand there now.

    Raises QmtlError(DEPENDENCY_UNAVAILABLE).
    """
    with translated_errors():
        config = _consumer(after).evolve(filter_subject=subject, num_replicas=1, mem_storage=True)
        subscription = await bus.jetstream.pull_subscribe(subject, stream=stream, config=config)
        try:
            waiting = (await subscription.consumer_info()).num_pending
            messages = await subscription.fetch(min(waiting, limit), timeout=READ_SECONDS) if waiting else []
        finally:
            await subscription.unsubscribe()
    return [Delivered(each.metadata.sequence.stream, each.subject, each.data) for each in messages]


def _consumer(after: int | None) -> ConsumerConfig:
    return ConsumerConfig(
        deliver_policy=DeliverPolicy.NEW if after is None else DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=None if after is None else after + 1,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=FORGET_SECONDS,
    )


def _lost(how: str) -> QmtlError:
    return QmtlError(
        Reason.DEPENDENCY_UNAVAILABLE, f"NATS JetStream lost a delivery: {how}", metadata={"dependency": "nats"}
    )
