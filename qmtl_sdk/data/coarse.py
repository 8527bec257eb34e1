"""Coarser bars out of finer ones: hours of minutes, days of hours, weeks of days.

1. A coarse bar is made of the fine bars of one stretch of the calendar: part of a session, session, week (`_begins`).
2. It is known at the close of its last fine bar, so it bears that time.
3. One whose stretch reaches beyond what was delivered is left out: the calendar says what belongs to it (`_edges`).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from qmtl_sdk.data.panel import Panel
from qmtl_sdk.data.sessions import BarGrid, bar_grid, chained
from qmtl_sdk.data.times import DAY_NS, DAY_SECONDS, NS_PER_SECOND, duration_text

WEEK_SECONDS: Final = 7 * DAY_SECONDS
EPOCH_WEEKDAY: Final = 3  # 1970-01-01 was a Thursday; weeks begin on Monday


def why_not(fine_s: int, coarse_s: int) -> str:
    """Say why bars of ``coarse_s`` cannot be made of bars of ``fine_s`` (seconds), and the mend; empty: they can."""
    fine, coarse = duration_text(fine_s), duration_text(coarse_s)
    if coarse_s < fine_s:
        return f"has bars of {fine}, which do not make finer ones of {coarse}; choose a preset of {coarse} or finer"
    within_a_day = DAY_SECONDS % coarse_s == 0 and coarse_s % fine_s == 0
    if within_a_day or coarse_s == WEEK_SECONDS:
        return ""
    return (
        f"has bars of {fine}, which do not make bars of {coarse}; choose 1w, 1d, or a multiple of {fine} that divides "
        "a day"
    )


def coarser(bars: Panel, grid: BarGrid, calendar: str, interval_s: int) -> Panel:
    """Return the bars of ``interval_s`` (as `why_not` allows) that lie whole within ``bars``, [T', S].

    ``grid`` is that of ``bars``. Open is the first known one, high and low are the extremes, close is the last known
    one, volume the sum; null where no fine bar has it. Columns of other names have no such rule and are left out.
    """
    before, after = _edges(grid, calendar, bars.interval_s, interval_s)
    whole = chained([before, grid, after])
    bounds = np.append(np.flatnonzero(_begins(whole, interval_s)), len(whole)) - len(before)
    bounds = bounds[(bounds >= 0) & (bounds <= len(grid))]
    columns = {name: _combined(name, bars.columns[name], bounds) for name in _RULES if name in bars.columns}
    closes = grid.closes[bounds[1:] - 1]
    closes.flags.writeable = False
    return Panel(closes, bars.symbols, columns, interval_s)


def _edges(grid: BarGrid, calendar: str, fine_s: int, coarse_s: int) -> tuple[BarGrid, BarGrid]:
    """Return the calendar's bars before and after the grid that a coarse bar at its ends can hold."""
    reach = max(coarse_s, DAY_SECONDS) * NS_PER_SECOND
    first, last = int(grid.opens[0]), int(grid.closes[-1])
    expected = bar_grid(calendar, fine_s, first - reach, last + reach)
    return expected.take(expected.within(first - reach, first)), expected.take(expected.within(last, last + reach))


def _begins(grid: BarGrid, interval_s: int) -> NDArray[np.bool_]:
    """Return bool [T]: the bar is the first of a coarse one."""
    if interval_s >= DAY_SECONDS:
        days = grid.sessions // DAY_NS
        return _changes(days if interval_s == DAY_SECONDS else (days + EPOCH_WEEKDAY) // 7)
    stretches = _changes(grid.sessions)
    stretches[1:] |= grid.opens[1:] != grid.closes[:-1]  # a lunch break
    since = grid.opens - grid.opens[np.flatnonzero(stretches)][np.cumsum(stretches) - 1]
    return stretches | _changes(since // (interval_s * NS_PER_SECOND))


def _changes(keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    changes = np.ones(len(keys), dtype=bool)
    changes[1:] = keys[1:] != keys[:-1]
    return changes


def _combined(name: str, fine: NDArray[np.float64], bounds: NDArray[np.intp]) -> NDArray[np.float64]:
    if len(bounds) < 2:
        return np.empty((0, fine.shape[1]))
    coarse = np.ascontiguousarray(_RULES[name](fine[: bounds[-1]], bounds[:-1]))
    coarse.flags.writeable = False
    return coarse


def _first(fine: NDArray[np.float64], firsts: NDArray[np.intp]) -> NDArray[np.float64]:
    rows = np.where(np.isnan(fine), len(fine) - 1, np.arange(len(fine))[:, None])
    return np.take_along_axis(fine, _within(np.minimum.reduceat(rows, firsts, axis=0), fine, firsts), axis=0)


def _last(fine: NDArray[np.float64], firsts: NDArray[np.intp]) -> NDArray[np.float64]:
    rows = np.where(np.isnan(fine), 0, np.arange(len(fine))[:, None])
    return np.take_along_axis(fine, _within(np.maximum.reduceat(rows, firsts, axis=0), fine, firsts), axis=0)


def _within(rows: NDArray[np.intp], fine: NDArray[np.float64], firsts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Keep rows within their coarse bar: where nothing is known in it, its own (unknown) bars are taken."""
    ends = np.append(firsts[1:], len(fine))
    return np.clip(rows, firsts[:, None], ends[:, None] - 1)


def _highest(fine: NDArray[np.float64], firsts: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.fmax.reduceat(fine, firsts, axis=0)


def _lowest(fine: NDArray[np.float64], firsts: NDArray[np.intp]) -> NDArray[np.float64]:
    return np.fmin.reduceat(fine, firsts, axis=0)


def _sum(fine: NDArray[np.float64], firsts: NDArray[np.intp]) -> NDArray[np.float64]:
    known = np.logical_or.reduceat(~np.isnan(fine), firsts, axis=0)
    return np.where(known, np.add.reduceat(np.nan_to_num(fine, nan=0.0), firsts, axis=0), np.nan)


_RULES: Final = {"open": _first, "high": _highest, "low": _lowest, "close": _last, "volume": _sum}
