"""``google.protobuf.Timestamp`` and ``datetime`` in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp


def to_timestamp(moment: datetime) -> Timestamp:
    """Return the Timestamp of a timezone-aware moment (microseconds kept)."""
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def to_datetime(stamp: Timestamp) -> datetime:
    """Return the moment of a Timestamp, in UTC."""
    return stamp.ToDatetime(tzinfo=UTC)
