"""The broker of a cluster, past all links: how fast intents flow; messages that are lost or stored twice."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import nats
from nats.js.errors import NotFoundError

from qmtl_foundation.jetstream.streams import CONTROL, INGEST, ORDERS, REPORTS
from qmtl_foundation.pb.qmtl.control.v1.activation_event_pb2 import ActivationEvent
from qmtl_foundation.pb.qmtl.order.v1.mark_pb2 import Mark

CALL_SECONDS: Final = 20.0
SAMPLE_SECONDS: Final = 1.0

Answer = TypeVar("Answer")


class Broker:
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

    def created(self, stream: str) -> str:
        """Return when a stream was made, by which executors know it."""
        return str(self._call(self._jetstream.stream_info(stream)).created.isoformat())

    def newest_intent(self, world: str) -> int:
        """Return the place of a world's newest intent, 0 for none."""
        try:
            return int(self._call(self._jetstream.get_last_msg(ORDERS, f"{ORDERS}.{world}.intent.*")).seq)
        except NotFoundError:
            return 0

    def newest_mark(self, world: str) -> int:
        """Return the number of a world's newest mark."""
        message = self._call(self._jetstream.get_last_msg(ORDERS, f"{ORDERS}.{world}.mark"))
        return int(Mark.FromString(message.data).number)

    def newest_event(self, world: str) -> int:
        """Return the sequence of a world's newest event."""
        message = self._call(self._jetstream.get_last_msg(CONTROL, f"{CONTROL}.activation.{world}"))
        return int(ActivationEvent.FromString(message.data).activation_set.sequence)

    def lose_newest_mark(self, world: str) -> int:
        """Delete a world's newest mark, which the broker had acknowledged; return its number."""
        return int(Mark.FromString(self._lose_newest(ORDERS, f"{ORDERS}.{world}.mark")).number)

    def lose_newest_event(self, world: str) -> int:
        """Delete a world's newest event, which the broker had acknowledged; return its sequence."""
        payload = self._lose_newest(CONTROL, f"{CONTROL}.activation.{world}")
        return int(ActivationEvent.FromString(payload).activation_set.sequence)

    def repeat_newest(self, world: str) -> None:
        """Store a world's newest mark and event once more."""
        for stream, subject in ((ORDERS, f"{ORDERS}.{world}.mark"), (CONTROL, f"{CONTROL}.activation.{world}")):
            message = self._call(self._jetstream.get_last_msg(stream, subject))
            headers = {name: text for name, text in (message.headers or {}).items() if name.startswith("Qmtl-")}
            assert not self._call(self._jetstream.publish(subject, message.data, headers=headers)).duplicate

    def delete_streams(self) -> None:
        """Delete all streams."""
        for stream in (INGEST, CONTROL, ORDERS, REPORTS):
            self._call(self._jetstream.delete_stream(stream))

    def _lose_newest(self, stream: str, subject: str) -> bytes:
        message = self._call(self._jetstream.get_last_msg(stream, subject))
        self._call(self._jetstream.delete_msg(stream, message.seq))
        return bytes(message.data)

    def _call(self, call: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(2 * CALL_SECONDS)


@contextmanager
def open_broker(url: str) -> Iterator[Broker]:
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
        yield Broker(loop, connection)
    finally:
        asyncio.run_coroutine_threadsafe(connection.close(), loop).result(CALL_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CALL_SECONDS)
        loop.close()
