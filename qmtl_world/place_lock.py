"""The lock of a world's place: who changes what trades in a world, or adds to its audit, holds it to its end."""

from __future__ import annotations

from typing import Final

from qmtl_foundation.postgres.pool import Connection

LOCKED_MS: Final = 3_000  # a transaction that keeps a place locked, and of which nothing is heard, ends by then

# Nothing takes time behind it: a replica that is paused, or cut off, gives the lock back.
_LOCK = f"""
SELECT set_config('idle_in_transaction_session_timeout', '{LOCKED_MS}', true)
FROM place WHERE world = $1 FOR NO KEY UPDATE
"""  # noqa: S608  # the number is a constant of ours
_MAKE = "INSERT INTO place (world) VALUES ($1) ON CONFLICT (world) DO NOTHING"


async def hold_place(connection: Connection, world: str) -> None:
    """Lock a world's place until the transaction's end; that of a world of which nothing is known is made."""
    if await connection.fetchrow(_LOCK, world) is None:
        await connection.execute(_MAKE, world)
        await connection.fetchrow(_LOCK, world)
