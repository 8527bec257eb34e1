"""Coarser bars are those of the calendar, known at their close, and never made of a part of their time."""

from __future__ import annotations

import numpy as np
import pytest

from qmtl_sdk.data.coarse import coarser, why_not
from qmtl_sdk.data.panel import Panel
from qmtl_sdk.data.sessions import BarGrid, bar_grid
from qmtl_sdk.data.times import format_instant, parse_instant

DAY, HOUR, WEEK = 86_400, 3_600, 604_800


def grid_of(calendar: str, interval_s: int, start: str, end: str) -> BarGrid:
    return bar_grid(calendar, interval_s, parse_instant(start, "start"), parse_instant(end, "end"))


def bars_on(grid: BarGrid, interval_s: int) -> Panel:
    """Return bars whose values tell their place: closes 0, 1, 2, …, a second symbol that knows every third bar only."""
    first = np.arange(len(grid), dtype=np.float64)
    close = np.column_stack([first, np.where(first % 3 == 0, first, np.nan)])
    columns = {"open": close - 0.5, "high": close + 1.0, "low": close - 1.0, "close": close, "volume": close * 0 + 1.0}
    return Panel(grid.closes, ("A", "B"), columns, interval_s)


def made(calendar: str, fine_s: int, coarse_s: int, start: str, end: str) -> tuple[BarGrid, Panel, Panel]:
    grid = grid_of(calendar, fine_s, start, end)
    fine = bars_on(grid, fine_s)
    return grid, fine, coarser(fine, grid, calendar, coarse_s)


# The clocks of New York went forward on 2013-03-10 and back on 2013-11-03, London's on 2013-03-31 and 2013-10-27; Tokyo
# has a lunch break; CME's sessions begin on the evening before.
@pytest.mark.parametrize("coarse_s", [HOUR, 4 * HOUR, DAY])
@pytest.mark.parametrize(
    ("calendar", "start", "end"),
    [
        ("XNYS", "2013-03-04", "2013-03-16"),
        ("XNYS", "2013-10-28", "2013-11-09"),
        ("XNYS", "2003-12-22", "2003-12-31"),
        ("XLON", "2013-03-25", "2013-04-06"),
        ("XLON", "2013-10-21", "2013-11-02"),
        ("XTKS", "2015-03-02", "2015-03-14"),
        ("CMES", "2013-03-04", "2013-03-16"),
        ("24/7", "2013-03-09", "2013-03-12"),
    ],
)
def test_bars_close_when_the_calendars_own_do(calendar: str, start: str, end: str, coarse_s: int) -> None:
    grid, _, coarse = made(calendar, 900, coarse_s, start, end)
    own = grid_of(calendar, coarse_s, start, end)
    whole = (own.opens >= grid.opens[0]) & (own.closes <= grid.closes[-1])
    np.testing.assert_array_equal(coarse.timestamps, own.closes[whole])


@pytest.mark.parametrize(
    ("calendar", "fine_s", "coarse_s", "start", "end"),
    [
        ("XNYS", HOUR, DAY, "2013-03-07", "2013-03-13"),
        ("XNYS", HOUR, DAY, "2013-10-31", "2013-11-06"),
        ("XNYS", HOUR, WEEK, "2013-10-28", "2013-11-09"),
        ("XNYS", DAY, WEEK, "2012-12-24", "2013-01-12"),
        ("XTKS", 900, HOUR, "2015-03-02", "2015-03-05"),
        ("CMES", HOUR, DAY, "2013-03-07", "2013-03-14"),
    ],
)
def test_cut_at_any_moment_delivers_exactly_the_bars_that_had_closed(
    calendar: str, fine_s: int, coarse_s: int, start: str, end: str
) -> None:
    grid, fine, whole = made(calendar, fine_s, coarse_s, start, end)
    assert len(whole.timestamps) > 1
    for bars in range(1, len(grid) + 1):
        columns = {name: column[:bars] for name, column in fine.columns.items()}
        then = Panel(grid.closes[:bars], fine.symbols, columns, fine_s)
        known = coarser(then, grid.take(slice(0, bars)), calendar, coarse_s)
        closed = int(np.searchsorted(whole.timestamps, grid.closes[bars - 1], side="right"))
        np.testing.assert_array_equal(known.timestamps, whole.timestamps[:closed])
        for name, column in known.columns.items():
            np.testing.assert_array_equal(column, whole.columns[name][:closed])


def test_day_has_the_open_of_its_first_hour_the_extremes_and_the_close_of_its_last() -> None:
    _, _, days = made("XNYS", HOUR, DAY, "2013-03-08", "2013-03-12")  # Friday and Monday: 7 hours each
    assert [format_instant(int(close)) for close in days.timestamps] == ["2013-03-08T21:00:00Z", "2013-03-11T20:00:00Z"]
    assert days.interval_s == DAY
    assert {name: column[:, 0].tolist() for name, column in days.columns.items()} == {
        "open": [-0.5, 6.5],
        "high": [7.0, 14.0],
        "low": [-1.0, 6.0],
        "close": [6.0, 13.0],
        "volume": [7.0, 7.0],
    }


def test_unknown_bars_are_left_out_and_a_day_without_any_is_null() -> None:
    grid = grid_of("XNYS", HOUR, "2013-03-08", "2013-03-12")
    fine = bars_on(grid, HOUR)
    silent = {name: np.where(np.arange(14)[:, None] < 7, column, np.nan) for name, column in fine.columns.items()}
    days = coarser(Panel(grid.closes, fine.symbols, silent, HOUR), grid, "XNYS", DAY)
    assert {name: column[0, 1] for name, column in days.columns.items()} == {
        "open": -0.5,
        "high": 7.0,
        "low": -1.0,
        "close": 6.0,
        "volume": 3.0,
    }
    assert all(np.isnan(column[1]).all() for column in days.columns.values())


def test_week_of_holidays_is_one_bar_and_weeks_turn_on_monday() -> None:
    _, _, weeks = made("XNYS", DAY, WEEK, "2012-12-17", "2013-01-12")
    closes = [format_instant(int(close))[:10] for close in weeks.timestamps]
    assert closes == ["2012-12-21", "2012-12-28", "2013-01-04", "2013-01-11"]
    assert weeks.columns["volume"][:, 0].tolist() == [5.0, 4.0, 4.0, 5.0]


def test_bars_at_the_ends_that_are_not_whole_are_left_out() -> None:
    _, _, weeks = made("XNYS", DAY, WEEK, "2013-03-06", "2013-03-22")  # Wednesday to Thursday
    assert [format_instant(int(close))[:10] for close in weeks.timestamps] == ["2013-03-15"]
    assert len(made("XNYS", DAY, WEEK, "2013-03-05", "2013-03-08")[2].timestamps) == 0


def test_column_without_a_rule_is_left_out() -> None:
    grid = grid_of("XNYS", HOUR, "2013-03-08", "2013-03-12")
    close = np.ones((14, 1))
    days = coarser(Panel(grid.closes, ("A",), {"close": close, "vwap": close}, HOUR), grid, "XNYS", DAY)
    assert list(days.columns) == ["close"]
    assert not days.columns["close"].flags.writeable


@pytest.mark.parametrize(
    ("fine_s", "coarse_s", "part"),
    [
        (DAY, HOUR, "bars of 1d, which do not make finer ones of 1h; choose a preset of 1h or finer"),
        (HOUR, 5_400, "do not make bars of 90m; choose 1w, 1d, or a multiple of 1h that divides a day"),
        (DAY, 3 * DAY, "do not make bars of 3d"),
        (HOUR, 5 * HOUR, "do not make bars of 5h"),
        (HOUR, 2 * HOUR, ""),
        (300, DAY, ""),
        (DAY, WEEK, ""),
    ],
)
def test_intervals_that_cannot_be_made_are_refused_with_the_mend(fine_s: int, coarse_s: int, part: str) -> None:
    assert (part in why_not(fine_s, coarse_s)) if part else why_not(fine_s, coarse_s) == ""
