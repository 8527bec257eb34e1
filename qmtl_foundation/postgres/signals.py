"""Signals between the processes of a service: PostgreSQL's LISTEN and NOTIFY, a notification being sent at its commit.

A signal may be lost with its connection, so whoever waits for one looks again after a while by itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg

from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.settings import Secret

RECONNECT_SECONDS: Final = 0.5
ANY: Final = ""

_log = logging.getLogger(__name__)


class Signals:
    """Let callers wait for what is notified on one channel."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @asynccontextmanager
    async def watching(self, key: str = ANY) -> AsyncIterator[asyncio.Event]:
        """Yield an event that is set whenever ``key`` is notified, or anything at all."""
        event = asyncio.Event()
        self._waiting[key].add(event)
        try:
            yield event
        finally:
            self._waiting[key].discard(event)
            if not self._waiting[key]:
                del self._waiting[key]

    def hurry(self) -> None:
        """Wake who waits for anything at all, in this process and ahead of the notification of its own commit."""
        for event in self._waiting.get(ANY, ()):
            event.set()

    async def listen(self, dsn: Secret) -> None:
        """Listen until cancelled, reconnecting when the connection is lost."""
        while True:
            heed_cancellation()
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await self._listen_once(dsn)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen_once(self, dsn: Secret) -> None:
        connection = await asyncpg.connect(dsn.value, timeout=5.0)
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _connection: lost.set())
            await connection.add_listener(self._channel, self._wake)
            heed_cancellation()
            await lost.wait()
            _log.warning("postgres: the listening connection was lost")
        finally:
            if not connection.is_closed():
                await connection.close(timeout=1.0)

    def _wake(self, _connection: Any, _pid: int, _channel: str, key: str) -> None:
        for event in (*self._waiting.get(key, ()), *self._waiting.get(ANY, ())):
            event.set()


async def wait(event: asyncio.Event, seconds: float) -> bool:
    """Return when the event is set, or when ``seconds`` are over, whether it was set; and clear it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    was_set = event.is_set()
    event.clear()
    return was_set
