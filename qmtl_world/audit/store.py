"""The SQL of the audit. The database numbers and hashes each entry, whoever writes it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from qmtl_foundation.audit import Entry, Head
from qmtl_foundation.postgres.pool import Connection
from qmtl_world.audit.model import Cause
from qmtl_world.place_lock import hold_place

_ADD = """
INSERT INTO audit (world, event, actor, reason, detail, epoch, sequence, create_time, run_id)
SELECT world, $2, $3, $4, $5, epoch, sequence, $6, nullif($7, '') FROM place WHERE world = $1
"""
_LIST = "SELECT * FROM audit WHERE world = $1 AND number < $2 ORDER BY number DESC LIMIT $3"
_HEAD = "SELECT number, hash FROM audit_head WHERE world = $1"
_HEADS = """
SELECT world, number, hash FROM audit_head
WHERE world > $1 AND ($3::text[] IS NULL OR world = ANY ($3)) ORDER BY world LIMIT $2
"""


async def add(
    connection: Connection, world: str, event: str, cause: Cause, detail: str, now: datetime, run_id: str = ""
) -> None:
    """Add an entry of what is no step of a run, which adds its own; what follows in the transaction takes no time."""
    await hold_place(connection, world)  # before the end of the audit, as each step of a run does
    await connection.execute(_ADD, world, event, cause.actor, cause.reason, detail, now, run_id)


async def list_entries(connection: Connection, world: str, below: int, limit: int) -> list[Entry]:
    """Return up to ``limit`` entries below a number, the newest first."""
    return [
        Entry(
            world, row["number"], row["event"], row["actor"], row["reason"], row["detail"], row["run_id"] or "",
            row["epoch"], row["sequence"], row["create_time"], row["hash"],
        )
        for row in await connection.fetch(_LIST, world, below, limit)
    ]  # fmt: skip


async def read_head(connection: Connection, world: str) -> Head | None:
    """Return what is kept of the newest entry beside the entries, or None for a world that never was."""
    row = await connection.fetchrow(_HEAD, world)
    return None if row is None else Head(row["number"], row["hash"])


async def list_heads(
    connection: Connection, after: str, limit: int, among: Collection[str] | None = None
) -> list[tuple[str, Head]]:
    """Return up to ``limit`` worlds whose names come after ``after``, of those ``among`` given names, with heads."""
    names = None if among is None else list(among)
    rows = await connection.fetch(_HEADS, after, limit, names)
    return [(row["world"], Head(row["number"], row["hash"])) for row in rows]
