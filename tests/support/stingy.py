"""A client of HTTP/2 that opens calls and takes no byte of their answers: its window for each of them is 0."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event, ResponseReceived, SettingsAcknowledged, StreamEnded, StreamReset
from h2.settings import SettingCodes

CHUNK: Final = 65_536
ANSWERED: Final = (ResponseReceived, StreamEnded, StreamReset)


@dataclass(slots=True)
class Stingy:
    """Hold one connection; nothing that a server sends of a message is ever let through."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http2: H2Connection
    heard: deque[Event] = field(default_factory=deque)

    async def call(self, method: str, message: bytes) -> int:
        """Open a call with one message, and return its stream once the server has begun to answer it."""
        stream = self.http2.get_next_available_stream_id()
        self.http2.send_headers(
            stream,
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", method),
                (":authority", "localhost"),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
            ],
        )
        self.http2.send_data(stream, b"\0" + len(message).to_bytes(4, "big") + message, end_stream=True)
        await self.until(lambda event: isinstance(event, ANSWERED) and event.stream_id == stream)
        return stream

    async def until(self, wanted: Callable[[Event], bool]) -> Event:
        """Return the first event that is wanted. Raises ConnectionError when the server has gone."""
        while True:
            while self.heard:
                event = self.heard.popleft()
                if wanted(event):
                    return event
            self.writer.write(self.http2.data_to_send())
            received = await self.reader.read(CHUNK)
            if not received:
                raise ConnectionError("the server has gone")
            self.heard.extend(self.http2.receive_data(received))


@asynccontextmanager
async def stingy_client(port: int) -> AsyncIterator[Stingy]:
    """Yield a connection to a server on this machine that has heard of the window."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    client = Stingy(reader, writer, H2Connection(H2Configuration(client_side=True)))
    client.http2.initiate_connection()
    client.http2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    try:
        for _ in range(2):  # those of the connection's beginning, and the window
            await client.until(lambda event: isinstance(event, SettingsAcknowledged))
        yield client
    finally:
        writer.close()
