"""Purges the order stream of what every enrolled executor has settled, when the stream needs the room.

The place is the lowest of all enrolments, over all worlds: sequences are one count for all of them, and an executor
that finds the stream beginning behind its own place closes. The newest mark of a world always stays, for the relay
compares with it. Where a purge went is stored before anything is purged, and told with each lease renewal: marks that
stay hide from an executor whose database was restored that messages behind its place are gone.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.errors import QmtlError
from qmtl_foundation.jetstream.bus import Bus
from qmtl_foundation.jetstream.streams import ALL_INTENTS, ALL_MARKS, ORDER_STREAM_BYTES, ORDERS
from qmtl_foundation.postgres import transaction
from qmtl_foundation.postgres.pool import Pool

LOOK_SECONDS: Final = 60.0
KEPT_BYTES: Final = ORDER_STREAM_BYTES // 4  # up to which everything stays, for whoever looks into what happened

# An enrolment that has told no place in this very stream lets nothing be purged; nor does a database without any.
_SETTLED: Final = "SELECT CASE WHEN bool_and(generation = $1) THEN min(position) ELSE 0 END FROM enrolment"
_NOTE: Final = """
INSERT INTO purged (generation, position) VALUES ($1, $2)
ON CONFLICT (one) DO UPDATE SET generation = excluded.generation, position = CASE
    WHEN purged.generation = excluded.generation THEN greatest(purged.position, excluded.position)
    ELSE excluded.position END
"""

_log = logging.getLogger(__name__)


class Purge:
    """Purge what is settled, once the order stream uses more than ``kept_bytes``."""

    def __init__(self, pool: Pool, bus: Bus, kept_bytes: int = KEPT_BYTES) -> None:
        self._pool = pool
        self._bus = bus
        self._kept_bytes = kept_bytes

    async def run(self) -> None:
        """Look each minute until cancelled; several replicas at once do no harm."""
        while True:
            heed_cancellation()
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.purge()
            except QmtlError as error:
                _log.warning("purging the order stream waits: %s", error)
            except Exception:  # a fault of ours must not end the service
                _log.exception("purging the order stream waits")

    async def purge(self) -> int:
        """Purge, and return the place up to which that went; 0 where nothing may be or need be purged."""
        state = await self._bus.state(ORDERS)
        if state.used_bytes <= self._kept_bytes:
            return 0
        async with transaction(self._pool) as connection:
            settled: int = await connection.fetchval(_SETTLED, state.generation) or 0
            if not 0 < settled <= state.last:
                return 0
            await connection.execute(_NOTE, state.generation, settled)
        await self._bus.purge(ORDERS, ALL_INTENTS, settled + 1)
        for subject, count in (await self._bus.counts(ORDERS, ALL_MARKS)).items():
            newest = await self._bus.newest(ORDERS, subject) if count > 1 else None
            if newest is not None:
                await self._bus.purge(ORDERS, subject, min(settled + 1, int(newest.seq)))
        _log.info("the order stream is purged up to %d, which every executor has settled", settled)
        return settled
