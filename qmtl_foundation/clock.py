"""Time as the services see it: UTC, timezone-aware, and replaceable where a rule depends on it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


def parse_rfc3339(text: str) -> datetime:
    """Return the moment of an RFC 3339 text in UTC; raise ValueError when it is none or states no offset."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} states no offset; write it in UTC, such as 2013-03-01T21:00:00Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is before the year 1 or after 9999 in UTC") from error


def format_rfc3339(moment: datetime) -> str:
    """Return the RFC 3339 text of a moment in UTC, in the one form that is hashed: a fraction only if there is one."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def span_text(seconds: float) -> str:
    """Return a span as people say it, in the largest unit of which there are two: ``90 s``, ``3 h``."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
