"""Returns that an author states: what is expected is said where something else comes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from qmtl_foundation.errors import QmtlError, Reason
from qmtl_sdk.submission.series import checked_returns

DAY_NS = 86_400 * 10**9
DATES = [dt.datetime(2004, 1, day) for day in (1, 2, 3)]  # noqa: DTZ001  # read as UTC
TIMES = np.array([12_418, 12_419, 12_420], dtype=np.int64) * DAY_NS  # the same days


@pytest.mark.parametrize(
    "returns", [[0.0, 0.1, -0.1], np.array([0.0, 0.1, -0.1]), pl.DataFrame({"ts": DATES, "return": [0.0, 0.1, -0.1]})]
)
def test_frame_of_polars_and_numbers_per_bar_are_taken(returns: Any) -> None:
    times, values = checked_returns(returns, TIMES)
    assert len(times) == 3
    assert values.tolist() == [0.0, 0.1, -0.1]


@pytest.mark.parametrize(
    ("returns", "kind"),
    [
        (pd.DataFrame({"ts": DATES, "return": [0.0, 0.1, 0.2]}), "DataFrame"),
        (pd.Series([0.0, 0.1, 0.2], index=DATES), "Series"),
    ],
)
def test_pandas_is_refused_with_what_is_expected_and_how_to_make_it(returns: Any, kind: str) -> None:
    with pytest.raises(QmtlError) as caught:
        checked_returns(returns, TIMES)
    assert caught.value.reason is Reason.INVALID_FIELD
    assert f"returns: is a pandas {kind}; give a Polars frame with the columns ts" in caught.value.message
    assert ".to_numpy()}) makes one" in caught.value.message


@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
@pytest.mark.parametrize(
    ("given", "mend"),
    [
        (
            lambda days: pd.DataFrame({"ts": days, "return": [0.0, 0.1, 0.2]}),
            'pl.DataFrame({"ts": list(frame["ts"]), "return": frame["return"].to_numpy()})',
        ),
        (
            lambda days: pd.DataFrame({"return": [0.0, 0.1, 0.2]}, index=days),
            'pl.DataFrame({"ts": list(frame.index), "return": frame["return"].to_numpy()})',
        ),
        (
            lambda days: pd.Series([0.0, 0.1, 0.2], index=days),
            'pl.DataFrame({"ts": list(series.index), "return": series.to_numpy()})',
        ),
    ],
)
def test_mend_for_pandas_works_without_another_library(
    given: Callable[[pd.DatetimeIndex], Any], mend: str, zone: str | None
) -> None:
    days = pd.DatetimeIndex(DATES)
    stated = given(days if zone is None else days.tz_localize("UTC").tz_convert(zone))
    with pytest.raises(QmtlError) as caught:
        checked_returns(stated, TIMES)
    assert mend in caught.value.message
    made = eval(mend, {"pl": pl, "frame": stated, "series": stated})  # noqa: S307  # what the message tells to write
    times, values = checked_returns(made, TIMES)
    assert (times.tolist(), values.tolist()) == (TIMES.tolist(), [0.0, 0.1, 0.2])


@pytest.mark.parametrize("returns", ["none", {"ts": DATES}, [DATES[0]]])
def test_what_holds_no_numbers_is_refused(returns: Any) -> None:
    with pytest.raises(QmtlError, match="that holds no numbers; give a Polars frame"):
        checked_returns(returns, TIMES)


def test_bad_return_is_named_by_its_row() -> None:
    with pytest.raises(QmtlError, match="returns, row 1: inf must be finite") as caught:
        checked_returns([0.0, np.inf, 0.0], TIMES)
    assert caught.value.reason is Reason.INVALID_SERIES
    assert caught.value.metadata == {"field": "returns", "row": "1"}


def framed(days: list[float]) -> pl.DataFrame:
    times = pl.Series([int(day * DAY_NS) for day in days]).cast(pl.Datetime("ns", "UTC"))
    return pl.DataFrame({"ts": times, "return": [0.0] * len(days)})


def test_time_that_is_no_bars_close_is_refused_with_the_nearest_close() -> None:
    with pytest.raises(QmtlError) as caught:
        checked_returns(framed([12_418, 12_419 + 7 / 1440, 12_420]), TIMES)
    assert caught.value.reason is Reason.INVALID_SERIES
    assert caught.value.metadata["row"] == "1"
    expected = "returns, row 1: ts 2004-01-02T00:07:00Z is no bar's close, the nearest is 2004-01-02T00:00:00Z"
    assert caught.value.message.startswith(expected)


@pytest.mark.parametrize(("day", "nearest"), [(12_000, "2004-01-01"), (13_000, "2004-01-03")])
def test_time_outside_the_data_is_refused(day: float, nearest: str) -> None:
    with pytest.raises(QmtlError, match=f"no bar's close, the nearest is {nearest}"):
        checked_returns(framed([day]), TIMES)


def test_bars_left_out_between_are_refused() -> None:
    """One return a day in a world of hours would be annualised as if it were one an hour."""
    with pytest.raises(QmtlError, match="row 1: ts 2004-01-03T00:00:00Z follows 1 bars without a return; state each"):
        checked_returns(framed([12_418, 12_420]), TIMES)


def test_returns_may_begin_late_and_end_early() -> None:
    assert checked_returns(framed([12_419]), TIMES)[0].tolist() == [TIMES[1]]
