from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmtl_foundation.errors import QmtlError
from qmtl_sdk.data.times import format_instant, parse_duration, parse_instant


@given(st.integers(-(2**62), 2**62))
def test_instants_read_back(nanoseconds: int) -> None:
    assert parse_instant(format_instant(nanoseconds), "t") == nanoseconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-02", 86_400 * 10**9),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
    ],
)
def test_instant_counts_from_the_epoch_in_utc(text: str, expected: int) -> None:
    assert parse_instant(text, "t") == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2013-03-01T21:00:00", "2013-02-30", "20130301"])
def test_what_states_no_instant_is_refused(text: str) -> None:
    with pytest.raises(QmtlError, match=r"as_of: .*RFC 3339"):
        parse_instant(text, "as_of")


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (datetime(2013, 3, 1, 21, tzinfo=UTC), 'is of type datetime; give text, RFC 3339: "2013-03-01T21:00:00Z"'),
        (
            datetime(2013, 3, 1, 16, tzinfo=timezone(timedelta(hours=-5))),
            'is of type datetime; give text, RFC 3339: "2013-03-01T21:00:00Z"',
        ),
        (
            datetime(2013, 3, 1, 21),  # noqa: DTZ001  # as authors write it
            'is of type datetime; give text, RFC 3339: "2013-03-01T21:00:00Z", if that is UTC',
        ),
        (date(2013, 3, 1), 'is of type date; give text: "2013-03-01", its midnight in UTC'),
        (20130301, "is of type int; write a date (2013-03-01, midnight in UTC) or an RFC 3339 time"),
    ],
)
def test_what_is_no_text_is_refused_with_the_text_to_write(stated: Any, message: str) -> None:
    with pytest.raises(QmtlError) as caught:
        parse_instant(stated, "as_of")
    assert caught.value.message.startswith(f"as_of: {message}")
    assert caught.value.metadata == {"field": "as_of", "value": str(stated)}


@pytest.mark.parametrize(("text", "seconds"), [("1d", 86_400), ("5m", 300), ("36h", 129_600), ("1s", 1)])
def test_duration_is_in_seconds(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "0d", "-1d", "1.5h", "1w", "1 d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write a whole number and a unit"):
        parse_duration(text)
