"""When bars are expected: the grid of bars of an exchange calendar, from the exchange_calendars library.

The library imports pandas (a third of a second), so it is imported on use only; what it says is kept with the data.
"""

from __future__ import annotations

import difflib
import importlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qmtl_foundation.errors import invalid_field
from qmtl_sdk.data.times import DAY_NS, DAY_SECONDS, NS_PER_SECOND

PAD_NS: Final = 30 * DAY_NS

_NO_TIME: Final = np.iinfo(np.int64).min  # pandas' NaT, as the library states "no break"


@dataclass(frozen=True, slots=True, eq=False)
class BarGrid:
    """Hold the bars that a calendar expects, ascending; each array int64 [T], nanoseconds in UTC.

    A bar spans ``[opens, closes)``. ``sessions`` is midnight UTC of the session's date. Daily bars span the session;
    shorter ones start at the session's open (and after a lunch break), the last one ends with the session.
    """

    opens: NDArray[np.int64]
    closes: NDArray[np.int64]
    sessions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.closes)

    def take(self, chosen: slice) -> BarGrid:
        """Return a part of the grid."""
        return BarGrid(self.opens[chosen], self.closes[chosen], self.sessions[chosen])

    def within(self, start: int, end: int) -> slice:
        """Return the bars of ``[start, end)``: those whose last nanosecond lies in it, so that no bar is in two."""
        first, after = np.searchsorted(self.closes, [start, end], side="right")
        return slice(int(first), int(after))


def bar_grid(calendar: str, interval_s: int, start: int, end: int) -> BarGrid:
    """Return the bars expected by ``calendar`` in ``[start, end)`` (UTC nanoseconds).

    Raises QmtlError INVALID_FIELD when the exchange_calendars library does not know the calendar or the time.
    """
    found = _load(calendar, start, end)
    opens, closes, sessions = _int64(found.opens_nanos), _int64(found.closes_nanos), _int64(found.sessions_nanos)
    if interval_s == DAY_SECONDS:
        grid = BarGrid(opens, closes, sessions)
    else:
        spans = _split(
            BarGrid(opens, closes, sessions), _int64(found.break_starts_nanos), _int64(found.break_ends_nanos)
        )
        grid = _cut(spans, interval_s * NS_PER_SECOND)
    return grid.take(grid.within(start, end))


def chained(grids: Sequence[BarGrid]) -> BarGrid:
    """Return consecutive grids as one."""
    return BarGrid(
        np.concatenate([grid.opens for grid in grids]),
        np.concatenate([grid.closes for grid in grids]),
        np.concatenate([grid.sessions for grid in grids]),
    )


def bars_per_session(grid: BarGrid) -> int:
    """Return the bars of a usual session: the median over the grid, so that half days do not count."""
    _, counts = np.unique(grid.sessions, return_counts=True)
    return int(np.median(counts))


def _load(calendar: str, start: int, end: int) -> Any:
    """Return the library's calendar over the range and more: it refuses a range that lies between two sessions."""
    with warnings.catch_warnings():
        # The library uses what pandas has deprecated; nothing of ours can mend that.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        library = importlib.import_module("exchange_calendars")
        try:
            return _padded(library, calendar, start, end)
        except library.errors.InvalidCalendarName as error:
            raise _unknown(calendar, library.get_calendar_names()) from error
        except (library.errors.CalendarError, ValueError) as error:
            span = f"{_date(start)}..{_date(end)}"
            mend = "choose a range within the calendar's, or another calendar"
            raise invalid_field("calendar", f"{calendar} does not reach {span} ({error}); {mend}") from error


def _padded(library: Any, calendar: str, start: int, end: int) -> Any:
    try:
        return library.get_calendar(calendar, start=_date(start - PAD_NS), end=_date(end + PAD_NS))
    except ValueError:  # more than the range is beyond the calendar's bounds; the range itself may not be
        return library.get_calendar(calendar, start=_date(start), end=_date(end))


def _date(moment: int) -> str:
    return str(np.datetime64(moment, "ns").astype("datetime64[D]"))


def _int64(nanoseconds: Any) -> NDArray[np.int64]:
    return np.asarray(nanoseconds, dtype=np.int64)


def _split(grid: BarGrid, break_starts: NDArray[np.int64], break_ends: NDArray[np.int64]) -> BarGrid:
    """Return the spans of trading: two for a session with a lunch break, otherwise one."""
    broken = break_starts != _NO_TIME
    if not broken.any():
        return grid
    opens = np.concatenate([grid.opens, break_ends[broken]])
    closes = np.concatenate([np.where(broken, break_starts, grid.closes), grid.closes[broken]])
    sessions = np.concatenate([grid.sessions, grid.sessions[broken]])
    order = np.argsort(opens)
    return BarGrid(opens[order], closes[order], sessions[order])


def _cut(spans: BarGrid, interval_ns: int) -> BarGrid:
    """Return the bars of each span, from its start; its last bar ends with it."""
    counts = -((spans.opens - spans.closes) // interval_ns)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    opens = np.repeat(spans.opens, counts) + within * interval_ns
    closes = np.minimum(opens + interval_ns, np.repeat(spans.closes, counts))
    return BarGrid(opens, closes, np.repeat(spans.sessions, counts))


def _unknown(calendar: str, names: list[str]) -> Exception:
    near = ", ".join(difflib.get_close_matches(calendar.upper(), names, n=3) or ["XNYS", "24/7"])
    mend = f"write a name of the exchange_calendars library, such as {near}"
    return invalid_field("calendar", f"{calendar!r} is no known exchange calendar; {mend}", value=calendar)
