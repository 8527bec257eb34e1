"""The streams of a cluster, past all links: how fast intents flow; messages that are lost or stored twice."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import nats

from qmtl_foundation.jetstream.streams import CONTROL, ORDERS

CALL_SECONDS: Final = 20.0
SAMPLE_SECONDS: Final = 1.0

Answer = TypeVar("Answer")


class Streams:
    """Reach JetStream from the tests' own thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Any) -> None:
        self._loop = loop
        self._connection = connection
        self._jetstream = connection.jetstream(timeout=CALL_SECONDS)

    def rate(self) -> float:
        """Return the messages that the order stream gets in a second, nearly all of them intents."""
        before, began = self.last(ORDERS), time.monotonic()
        time.sleep(SAMPLE_SECONDS)
        return (self.last(ORDERS) - before) / (time.monotonic() - began)

    def last(self, stream: str) -> int:
        """Return the place of a stream's newest message."""
        return int(self._call(self._jetstream.stream_info(stream)).state.last_seq)

    def lose_newest(self, stream: str, subject: str) -> int:
        """Delete a subject's newest message, which the broker had acknowledged; return its place."""
        message = self._call(self._jetstream.get_last_msg(stream, subject))
        self._call(self._jetstream.delete_msg(stream, message.seq))
        return int(message.seq)

    def repeat_newest(self, stream: str, subject: str) -> int:
        """Store a subject's newest message once more; return the place of the copy."""
        message = self._call(self._jetstream.get_last_msg(stream, subject))
        headers = {name: text for name, text in (message.headers or {}).items() if name.startswith("Qmtl-")}
        return int(self._call(self._jetstream.publish(subject, message.data, headers=headers)).seq)

    def _call(self, call: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(2 * CALL_SECONDS)


def mark_subject(world: str) -> tuple[str, str]:
    """Return the stream and the subject of a world's marks."""
    return ORDERS, f"{ORDERS}.{world}.mark"


def event_subject(world: str) -> tuple[str, str]:
    """Return the stream and the subject of a world's events."""
    return CONTROL, f"{CONTROL}.activation.{world}"


@contextmanager
def open_streams(url: str) -> Iterator[Streams]:
    """Yield a connection on a thread of its own; it comes back by itself."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def silent(_error: Exception) -> None:
        """Say nothing: the server is killed on purpose."""

    async def dial() -> Any:
        return await nats.connect(url, max_reconnect_attempts=-1, reconnect_time_wait=0.2, error_cb=silent)

    connection = asyncio.run_coroutine_threadsafe(dial(), loop).result(CALL_SECONDS)
    try:
        yield Streams(loop, connection)
    finally:
        asyncio.run_coroutine_threadsafe(connection.close(), loop).result(CALL_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CALL_SECONDS)
        loop.close()
