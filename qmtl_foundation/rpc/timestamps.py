"""``google.protobuf.Timestamp`` and ``datetime`` in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from qmtl_foundation.errors import invalid_field


def to_timestamp(moment: datetime) -> Timestamp:
    """Return the Timestamp of a timezone-aware moment (microseconds kept)."""
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def to_datetime(stamp: Timestamp, field: str = "timestamp") -> datetime:
    """Return the moment of a message's field, in UTC; raise QmtlError (INVALID_FIELD) outside the years 1 to 9999."""
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise invalid_field(field, f"{stamp.seconds} s is outside the years 1 to 9999") from error
