"""Reads one world's part of the order stream in order: its marks and this executor's intents, from a place on.

An ordered consumer of our own: unacknowledged, in the server's memory, gone with its reader. It numbers what it
delivers; a number that is skipped, or silence beyond its heartbeats, ends the reading, and the reader begins anew
behind what it has settled. Nothing rests on redelivery. (nats-py's own ordered consumer goes on by itself after a gap
or a restarted server, without a look at whether the stream is still the one that it was.)
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import nats.errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from qmtl_executor.messages import read_intent, read_mark
from qmtl_executor.model import Message
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.jetstream import Bus
from qmtl_foundation.jetstream.bus import translated_errors
from qmtl_foundation.jetstream.streams import ORDERS, intent_subject, mark_subject

HEARTBEAT_SECONDS: Final = 1.0
SILENCE_SECONDS: Final = 3.0  # three heartbeats
INACTIVE_SECONDS: Final = 30.0  # after which the server forgets a consumer whose reader is gone
STATUS: Final = "Status"  # header of what the server says beside messages


@dataclass(frozen=True, slots=True)
class StreamState:
    """Hold which stream it is and the sequences that it has; ``first`` is ``last + 1`` when it is empty."""

    generation: str
    first: int
    last: int


async def read_state(bus: Bus) -> StreamState:
    """Return the state of the order stream."""
    with translated_errors():
        info = await bus.jetstream.stream_info(ORDERS)
    created = info.created.isoformat() if info.created is not None else ""
    return StreamState(created, max(info.state.first_seq, 1), info.state.last_seq)


@asynccontextmanager
async def reading(bus: Bus, world: str, executor: str, position: int) -> AsyncIterator[Reader]:
    """Yield a reader of what stands behind ``position``."""
    inbox = bus.connection.new_inbox()
    with translated_errors():
        subscription = await bus.connection.subscribe(inbox)
    try:
        with translated_errors():
            consumer = await bus.jetstream.add_consumer(ORDERS, _config(world, executor, position, inbox))
        yield Reader(bus, subscription, world, consumer.name)
    finally:
        if not bus.connection.is_closed:
            await subscription.unsubscribe()


class Reader:
    """Read messages, oldest first."""

    def __init__(self, bus: Bus, subscription: Any, world: str, consumer: str) -> None:
        self._bus = bus
        self._subscription = subscription
        self._world = world
        self._consumer = consumer
        self._number = 0  # of the newest delivery
        self.behind = 0  # messages that the stream has behind the newest delivery

    async def quiet_until(self) -> int:
        """Return a place up to which the stream has nothing more for this reader; 0 where it may have."""
        state = await read_state(self._bus)  # first: what comes in between stands behind it
        with translated_errors():
            info = await self._bus.jetstream.consumer_info(ORDERS, self._consumer)
        is_quiet = info.num_pending == 0 and info.delivered.consumer_seq == self._number
        return state.last if is_quiet else 0

    async def next(self) -> Message | None:
        """Return the next message; None at a heartbeat, when there is none.

        Raises QmtlError(DEPENDENCY_UNAVAILABLE) where a delivery was lost or the server is silent: begin anew.
        """
        try:
            message = await self._subscription.next_msg(timeout=SILENCE_SECONDS)
        except (nats.errors.Error, TimeoutError) as error:
            raise _lost(f"the order stream is silent ({type(error).__name__})") from error
        if message.headers is not None and STATUS in message.headers:
            if message.reply:  # flow control: the server waits for this answer
                await self._bus.connection.publish(message.reply)
            return None
        place = message.metadata.sequence
        if place.consumer != self._number + 1:
            raise _lost(f"a delivery of the order stream was lost: {place.consumer} follows {self._number}")
        self._number, self.behind = place.consumer, message.metadata.num_pending
        read = read_mark if message.subject == mark_subject(self._world) else read_intent
        return Message(place.stream, read(message.data, self._world))


def _config(world: str, executor: str, position: int, inbox: str) -> ConsumerConfig:
    return ConsumerConfig(
        deliver_subject=inbox,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=position + 1,
        filter_subjects=[mark_subject(world), intent_subject(world, executor)],
        ack_policy=AckPolicy.NONE,
        max_deliver=1,
        flow_control=True,
        idle_heartbeat=HEARTBEAT_SECONDS,
        inactive_threshold=INACTIVE_SECONDS,
        mem_storage=True,
        num_replicas=1,
    )


def _lost(message: str) -> QmtlError:
    return QmtlError(Reason.DEPENDENCY_UNAVAILABLE, message, metadata={"dependency": "nats"})
