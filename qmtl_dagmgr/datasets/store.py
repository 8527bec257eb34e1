"""The dataset registry's SQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from qmtl_dagmgr.datasets.model import Preset, Snapshot
from qmtl_foundation.errors import QmtlError, Reason
from qmtl_foundation.postgres import acquire, transaction
from qmtl_foundation.postgres.pool import Pool

_ADD_PRESET = """
INSERT INTO preset (name, document, content_id) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING
"""
_GET_PRESET = "SELECT * FROM preset WHERE name = $1"
_LIST_PRESETS = "SELECT * FROM preset WHERE name > $1 ORDER BY name LIMIT $2"
_ADD_SNAPSHOT = """
INSERT INTO snapshot (preset, as_of, fingerprint, start_time, end_time, bars, coverage, gaps)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (preset, as_of, fingerprint) DO NOTHING
"""
_GET_SNAPSHOT = "SELECT * FROM snapshot WHERE preset = $1 AND as_of = $2 AND fingerprint = $3"
_NEWEST_SNAPSHOT = """
SELECT * FROM snapshot
WHERE preset = $1 AND ($2::timestamptz IS NULL OR as_of <= $2) AND ($3 = '' OR fingerprint = $3)
ORDER BY as_of DESC, create_time DESC LIMIT 1
"""


async def add_preset(pool: Pool, name: str, document: bytes, content_id: str) -> Preset:
    """Add a preset, or return the one that stands with the same content; another content is PRESET_EXISTS."""
    async with transaction(pool) as connection:
        await connection.execute(_ADD_PRESET, name, document, content_id)
        preset = _to_preset(await connection.fetchrow(_GET_PRESET, name))
    if preset.content_id != content_id:
        raise QmtlError(
            Reason.PRESET_EXISTS,
            f"preset {name!r} stands with other content; presets do not change: register it under a new name",
            metadata={"data_preset": name, "content_id": preset.content_id},
        )
    return preset


async def read_preset(pool: Pool, name: str) -> Preset | None:
    """Return a preset, or None."""
    async with acquire(pool) as connection:
        row = await connection.fetchrow(_GET_PRESET, name)
    return None if row is None else _to_preset(row)


async def list_presets(pool: Pool, after: str, limit: int) -> list[Preset]:
    """Return up to ``limit`` presets whose names come after ``after``."""
    async with acquire(pool) as connection:
        return [_to_preset(row) for row in await connection.fetch(_LIST_PRESETS, after, limit)]


async def add_snapshot(pool: Pool, snapshot: Snapshot) -> Snapshot:
    """Add a snapshot, or return the one that stands."""
    key = (snapshot.preset, snapshot.as_of, snapshot.fingerprint)
    figures = (snapshot.start_time, snapshot.end_time, snapshot.bars, snapshot.coverage, snapshot.gaps)
    async with transaction(pool) as connection:
        await connection.execute(_ADD_SNAPSHOT, *key, *figures)
        return _to_snapshot(await connection.fetchrow(_GET_SNAPSHOT, *key))


async def newest_snapshot(pool: Pool, preset: str, at_or_before: datetime | None, fingerprint: str) -> Snapshot | None:
    """Return the newest snapshot of a preset, of a moment or before and of some data where stated, or None."""
    async with acquire(pool) as connection:
        row = await connection.fetchrow(_NEWEST_SNAPSHOT, preset, at_or_before, fingerprint)
    return None if row is None else _to_snapshot(row)


def _to_preset(row: Mapping[str, Any]) -> Preset:
    return Preset(row["name"], row["document"], row["content_id"], row["create_time"])


def _to_snapshot(row: Mapping[str, Any]) -> Snapshot:
    names = ("preset", "as_of", "fingerprint", "start_time", "end_time", "bars", "coverage", "gaps", "create_time")
    return Snapshot(**{name: row[name] for name in names})
