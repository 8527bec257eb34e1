"""Publishes reports from the executor's outbox, at least once, each under an id by which the stream knows it again."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from qmtl_executor.journal import Journal
from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.errors import QmtlError
from qmtl_foundation.jetstream.bus import Bus
from qmtl_foundation.jetstream.streams import report_subject

BATCH: Final = 200
POLL_SECONDS: Final = 0.05
RETRY_SECONDS: Final = 1.0
MESSAGE_ID: Final = "Nats-Msg-Id"

_log = logging.getLogger(__name__)


class ReportRelay:
    """Publish what the outbox holds."""

    def __init__(self, journal: Journal, bus: Bus) -> None:
        self._journal = journal
        self._bus = bus

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            heed_cancellation()
            try:
                published = await self.publish()
            except QmtlError as error:
                _log.warning("reports wait: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:  # a fault of ours must not end the executor: reports are late
                _log.exception("reports wait")
                await asyncio.sleep(RETRY_SECONDS)
            else:
                if not published:
                    await asyncio.sleep(POLL_SECONDS)

    async def publish(self) -> int:
        """Publish one batch, in order, and return its size."""
        rows = await self._journal.read_pending_reports(BATCH)
        for row in rows:
            await self._bus.publish(report_subject(row["world"]), row["payload"], {MESSAGE_ID: row["message_id"]})
        if rows:
            await self._journal.note_published([row["id"] for row in rows])
        return len(rows)
