"""Presets and snapshots, and what makes them well-formed. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from qmtl_foundation.errors import invalid_field, too_large
from qmtl_foundation.identity import NoCanonicalFormError, bytes_id, canonical_json

PRESET_CONTEXT: Final = "qmtl 2026-11 data-preset v1"
MAX_DOCUMENT_BYTES: Final = 256 * 1024
CLOCK_SKEW: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Preset:
    """Hold a registered preset; ``document`` is canonical JSON that the SDK reads."""

    name: str
    document: bytes
    content_id: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Hold one state of a dataset; ``bars`` counts over all symbols, ``coverage`` is in [0, 1]."""

    preset: str
    as_of: datetime
    fingerprint: str
    start_time: datetime
    end_time: datetime
    bars: int
    coverage: float
    gaps: int
    create_time: datetime | None = None


def preset_content_id(document: bytes) -> str:
    """Return the content id of a preset's document; raise when the document is not a canonical JSON object."""
    if len(document) > MAX_DOCUMENT_BYTES:
        raise too_large("document", len(document), MAX_DOCUMENT_BYTES)
    try:
        value = json.loads(document)
        canonical = canonical_json(value)
    except (ValueError, RecursionError, NoCanonicalFormError) as error:
        raise invalid_field("document", f"is not JSON with a canonical form: {error}") from error
    if not isinstance(value, dict) or canonical != document:
        raise invalid_field("document", "must be the canonical JSON (RFC 8785) of an object")
    return bytes_id(PRESET_CONTEXT, document)


def check_snapshot(snapshot: Snapshot, now: datetime) -> Snapshot:
    """Return a snapshot whose figures can be, or raise. One of the future would make all others look old."""
    if not 0.0 <= snapshot.coverage <= 1.0:
        raise invalid_field("snapshot.coverage", f"{snapshot.coverage} must be within [0, 1]")
    if snapshot.bars < 1:
        raise invalid_field("snapshot.bars", f"{snapshot.bars} must be at least 1; an empty dataset is no snapshot")
    if snapshot.gaps < 0:
        raise invalid_field("snapshot.gaps", f"{snapshot.gaps} must not be negative")
    if not snapshot.start_time <= snapshot.end_time <= snapshot.as_of:
        raise invalid_field("snapshot.as_of", "start_time <= end_time <= as_of must hold")
    if snapshot.as_of > now + CLOCK_SKEW:
        raise invalid_field("snapshot.as_of", f"{snapshot.as_of.isoformat()} lies in the future")
    return snapshot
