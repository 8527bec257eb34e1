"""Deletes what has aged out of a service's schema: batch by batch, beside the service, on any number of replicas."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from qmtl_foundation.cancellation import heed_cancellation
from qmtl_foundation.clock import Clock
from qmtl_foundation.errors import QmtlError
from qmtl_foundation.postgres.pool import Pool, acquire

SWEEP_SECONDS: Final = 600.0
BATCH_ROWS: Final = 500  # a statement is short, and nobody waits for its locks

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Aged:
    """Say what ages out and when.

    ``delete`` takes the moment before which rows are old, and how many it may look at; it skips rows that another
    replica has locked. One that ``touches`` what may not go yet, so that no row is looked at twice in a period, takes
    the present moment too, and returns how many rows were ``seen`` and how many are ``gone``.
    """

    what: str
    keep: timedelta
    delete: str
    touches: bool = False


async def sweep(pool: Pool, aged: Sequence[Aged], now: datetime) -> dict[str, int]:
    """Delete all that has aged out, and return how many rows of each kind; each batch commits by itself."""
    return {each.what: await _sweep(pool, each, now) for each in aged}


async def sweeping(pool: Pool, aged: Sequence[Aged], clock: Clock) -> None:
    """Sweep from time to time until cancelled; one that fails is made up for by the next."""
    while True:
        heed_cancellation()
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            deleted = await sweep(pool, aged, clock())
        except QmtlError as error:
            _log.warning("retention waits: %s", error)
        except Exception:  # a fault of ours must not end the service
            _log.exception("retention waits")
        else:
            if any(deleted.values()):
                _log.info("aged out: %s", ", ".join(f"{rows} {what}" for what, rows in deleted.items() if rows))


async def _sweep(pool: Pool, aged: Aged, now: datetime) -> int:
    total, seen = 0, BATCH_ROWS
    while seen == BATCH_ROWS:
        async with acquire(pool) as connection:
            if aged.touches:
                seen, gone = await connection.fetchrow(aged.delete, now - aged.keep, BATCH_ROWS, now)
            else:
                seen = gone = int(
                    (await connection.execute(aged.delete, now - aged.keep, BATCH_ROWS))[len("DELETE ") :]
                )
        total += gone
    return total
