"""Wakes those who watch a submission when any gateway has ended it (PostgreSQL LISTEN/NOTIFY)."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from qmtl_foundation.settings import Secret
from qmtl_gateway.submission.store import ENDED_CHANNEL

POLL_SECONDS = 1.0  # a watcher looks this often even without a signal: notifications may be lost with their connection
RECONNECT_SECONDS = 0.5

_log = logging.getLogger(__name__)


class EndWatch:
    """Let callers wait for the end of a submission."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @asynccontextmanager
    async def watching(self, submission_id: str) -> AsyncIterator[asyncio.Event]:
        """Yield an event that is set when the submission ends."""
        event = asyncio.Event()
        self._waiting[submission_id].add(event)
        try:
            yield event
        finally:
            self._waiting[submission_id].discard(event)
            if not self._waiting[submission_id]:
                del self._waiting[submission_id]

    async def listen(self, dsn: Secret) -> None:
        """Listen until cancelled, reconnecting when the connection is lost."""
        while True:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await self._listen_once(dsn)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _listen_once(self, dsn: Secret) -> None:
        connection = await asyncpg.connect(dsn.value, timeout=5.0)
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _connection: lost.set())
            await connection.add_listener(ENDED_CHANNEL, self._wake)
            await lost.wait()
            _log.warning("postgres: the listening connection was lost")
        finally:
            if not connection.is_closed():
                await connection.close(timeout=1.0)

    def _wake(self, _connection: Any, _pid: int, _channel: str, submission_id: str) -> None:
        for event in self._waiting.get(submission_id, ()):
            event.set()


async def wait(event: asyncio.Event) -> None:
    """Return when the event is set, or when it is time to look anyway."""
    with suppress(TimeoutError):
        async with asyncio.timeout(POLL_SECONDS):
            await event.wait()
