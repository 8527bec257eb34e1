"""The durable ``ingest`` stream: every submission taken stands in it before its answer, until a worker has ended it.

A message names the submission; what it asks for is its row. The stream is a work queue shared by all gateways.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import nats.errors
from nats.js.api import AckPolicy, ConsumerConfig

from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.jetstream.bus import Bus, translated_errors
from qmtl_foundation.jetstream.streams import INGEST, SUBMISSIONS, ingest_stream

CONSUMER: Final = "gateway-workers"
ACK_WAIT_SECONDS: Final = 3.0  # after which a killed gateway's messages go to another
HOLD_SECONDS: Final = 1.0  # a living one says this often that it is still at work
FETCH_SECONDS: Final = 5.0
MAX_IN_FLIGHT: Final = 1_000

_log = logging.getLogger(__name__)


async def open_ingest(bus: Bus, replicas: int) -> None:
    """Make the stream and its consumer, and change those that stand as they are specified now."""
    await bus.ensure_stream(ingest_stream(replicas))
    with translated_errors():
        await bus.jetstream.add_consumer(
            INGEST,
            ConsumerConfig(
                durable_name=CONSUMER,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_SECONDS,
                max_ack_pending=MAX_IN_FLIGHT,
            ),
        )


async def append(bus: Bus, submission_id: str) -> None:
    """Store a submission's message; the same again within the stream's window is stored once."""
    await bus.publish(SUBMISSIONS, submission_id.encode(), {"Nats-Msg-Id": submission_id})


async def subscribe(bus: Bus) -> Any:
    """Return a pull subscription to the shared consumer; ``unsubscribe`` ends it."""
    with translated_errors():
        return await bus.jetstream.pull_subscribe_bind(CONSUMER, INGEST)


async def unsubscribe(subscription: Any) -> None:
    """End a subscription, and with it what it still asks for: a message sent to it would wait for nobody."""
    try:
        await subscription.unsubscribe()
    except nats.errors.Error as error:
        _log.warning("unsubscribe: %r; it ended with its connection", error)


@asynccontextmanager
async def held(message: Any, every_s: float = HOLD_SECONDS) -> AsyncIterator[None]:
    """Keep a message from going to another gateway while this one works on it."""
    holding = asyncio.create_task(_hold(message, every_s))
    try:
        yield
    finally:
        holding.cancel()


async def _hold(message: Any, every_s: float) -> None:
    while True:
        heed_cancellation()
        await asyncio.sleep(every_s)
        try:
            await message.in_progress()
        except (nats.errors.Error, OSError) as error:
            _log.warning("holding submission %s: %r; another gateway may take it too", message.data, error)


async def fetch(subscription: Any) -> Any | None:
    """Return the next message, None when there was none for a while."""
    with translated_errors():
        try:
            (message,) = await subscription.fetch(1, timeout=FETCH_SECONDS)
        except nats.errors.TimeoutError:
            return None
        return message
