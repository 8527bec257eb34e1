from __future__ import annotations

import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.data.sessions import BarGrid, bar_grid, bars_per_session
from qmtl_sdk.data.times import format_instant, parse_instant


def grid_of(calendar: str, interval_s: int, start: str, end: str) -> BarGrid:
    return bar_grid(calendar, interval_s, parse_instant(start, "start"), parse_instant(end, "end"))


def closes(grid: BarGrid) -> list[str]:
    return [format_instant(int(close)) for close in grid.closes]


def test_daily_bars_close_with_the_session_in_utc_on_half_days_too() -> None:
    # NYSE: Christmas Eve 2003 ended at 13:00 New York, Christmas was closed, then 16:00 as usual.
    grid = grid_of("XNYS", 86_400, "2003-12-23", "2003-12-30")
    expected = ["2003-12-23T21:00:00Z", "2003-12-24T18:00:00Z", "2003-12-26T18:00:00Z", "2003-12-29T21:00:00Z"]
    assert closes(grid) == expected


def test_clock_change_moves_the_close_in_utc() -> None:
    grid = grid_of("XNYS", 86_400, "2013-03-08", "2013-03-12")
    assert closes(grid) == ["2013-03-08T21:00:00Z", "2013-03-11T20:00:00Z"]


def test_hours_start_with_the_session_and_the_last_ends_with_it() -> None:
    grid = grid_of("XNYS", 3_600, "2013-03-11", "2013-03-12")
    assert len(grid) == 7
    assert format_instant(int(grid.opens[0])) == "2013-03-11T13:30:00Z"
    assert closes(grid)[-2:] == ["2013-03-11T19:30:00Z", "2013-03-11T20:00:00Z"]


def test_lunch_break_has_no_bars() -> None:
    # Tokyo in 2015 traded 09:00-11:30 and 12:30-15:00.
    grid = grid_of("XTKS", 3_600, "2015-03-02", "2015-03-03")
    expected = ["01:00", "02:00", "02:30", "04:30", "05:30", "06:00"]
    assert closes(grid) == [f"2015-03-02T{time}:00Z" for time in expected]


def test_round_the_clock_days_close_at_midnight_and_belong_to_the_day_before() -> None:
    grid = grid_of("24/7", 86_400, "2020-02-28", "2020-03-01")
    assert closes(grid) == ["2020-02-29T00:00:00Z", "2020-03-01T00:00:00Z"]


def test_neighbouring_ranges_share_no_bar_and_lose_none() -> None:
    whole = grid_of("XNYS", 300, "2013-03-07", "2013-03-13")
    middle = "2013-03-11T15:02:00Z"
    parts = closes(grid_of("XNYS", 300, "2013-03-07", middle)) + closes(grid_of("XNYS", 300, middle, "2013-03-13"))
    assert parts == closes(whole)


def test_range_between_two_sessions_has_no_bars() -> None:
    assert len(grid_of("XNYS", 86_400, "2013-03-09", "2013-03-10")) == 0


def test_half_days_do_not_lower_the_bars_of_a_session() -> None:
    assert bars_per_session(grid_of("XNYS", 3_600, "2003-12-22", "2003-12-31")) == 7


def test_unknown_calendar_names_near_ones() -> None:
    with pytest.raises(QmtlError, match="XNYS") as caught:
        grid_of("XNYSE", 86_400, "2013-03-08", "2013-03-12")
    assert caught.value.reason is Reason.INVALID_FIELD
    assert caught.value.violations[0].field == "calendar"


def test_range_at_the_calendars_bound_is_served() -> None:
    # The library knows Tokyo from 1997 on.
    assert closes(grid_of("XTKS", 86_400, "1997-01-01", "1997-01-08")) == [
        "1997-01-06T06:00:00Z",
        "1997-01-07T06:00:00Z",
    ]


def test_time_before_the_calendar_is_refused() -> None:
    with pytest.raises(QmtlError, match="does not reach"):
        grid_of("XKRX", 86_400, "1950-01-01", "1951-01-01")
