"""Instants and durations as text: RFC 3339 in UTC to int64 nanoseconds and back, and "1d", "1h", "5m" to seconds."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Final

from qmtl_foundation.errors import invalid_field

NS_PER_SECOND: Final = 1_000_000_000
DAY_SECONDS: Final = 86_400
DAY_NS: Final = DAY_SECONDS * NS_PER_SECOND

_FORMS: Final = "write a date (2013-03-01, midnight in UTC) or an RFC 3339 time with its offset (2013-03-01T21:00:00Z)"
_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": DAY_SECONDS}
_WRITTEN_UNITS: Final = {"w": 7 * DAY_SECONDS, "d": DAY_SECONDS, "h": 3_600, "m": 60, "s": 1}
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_FRACTION: Final = re.compile(r"\.(\d{1,9})(?=Z|[+-]\d{2}:\d{2}$)")


def parse_instant(text: str, field: str) -> int:
    """Return nanoseconds since the Unix epoch of an RFC 3339 time, or of a date (its midnight in UTC).

    Raises QmtlError INVALID_FIELD naming ``field`` when the text is neither, or states no UTC offset.
    """
    if not isinstance(text, str):  # an author's datetime, say
        raise _no_text(text, field)
    try:
        if _DATE.fullmatch(text):
            day = date.fromisoformat(text)
            return (day.toordinal() - date(1970, 1, 1).toordinal()) * DAY_NS
        fraction = _FRACTION.search(text)
        moment = datetime.fromisoformat(_FRACTION.sub("", text))
    except ValueError as error:
        raise _bad_instant(text, field) from error
    if moment.tzinfo is None:
        raise _bad_instant(text, field)
    since_epoch = moment - datetime(1970, 1, 1, tzinfo=UTC)
    whole = since_epoch.days * DAY_NS + since_epoch.seconds * NS_PER_SECOND
    return whole + (int(fraction.group(1).ljust(9, "0")) if fraction else 0)


def format_instant(nanoseconds: int) -> str:
    """Return the RFC 3339 text in UTC, such as ``2013-03-01T21:00:00Z``; a fraction only where there is one."""
    seconds, rest = divmod(nanoseconds, NS_PER_SECOND)
    text = datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:09d}".rstrip("0") + "Z" if rest else text + "Z"


def parse_duration(text: str) -> int:
    """Return the seconds of a duration such as ``1d``, ``1h``, ``5m`` or ``30s``; raise ValueError with the mend."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no duration; write a whole number and a unit s, m, h or d, such as 5m")
    return int(match.group(1)) * _UNIT_SECONDS[match.group(2)]


def duration_text(seconds: int) -> str:
    """Return the duration as authors write an interval: ``1w``, ``1d``, ``90m``, in the largest whole unit."""
    unit = next(name for name, size in _WRITTEN_UNITS.items() if seconds % size == 0)
    return f"{seconds // _WRITTEN_UNITS[unit]}{unit}"


def _bad_instant(text: str, field: str) -> Exception:
    return invalid_field(field, f"{text!r} is no point in time; {_FORMS}", value=text)


def _no_text(value: object, field: str) -> Exception:
    """Return the error for what is no text, with the text to write where the value is a time or a day."""
    mend = _FORMS
    if isinstance(value, datetime):
        in_utc = "" if value.tzinfo else ", if that is UTC"
        moment = value.astimezone(UTC) if value.tzinfo else value
        mend = f'give text, RFC 3339: "{moment.replace(tzinfo=None).isoformat()}Z"{in_utc}'
    elif isinstance(value, date):
        mend = f'give text: "{value.isoformat()}", its midnight in UTC'
    return invalid_field(field, f"is of type {type(value).__name__}; {mend}", value=str(value))
