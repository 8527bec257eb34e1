"""Several intervals meet as of the last closed bar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from qmtl_foundation.errors import QmtlError
from qmtl_sdk.strategy import Node, Strategy, StreamInput
from qmtl_sdk.strategy.evaluate import evaluate
from qmtl_sdk.strategy.interval import interval_seconds
from qmtl_sdk.strategy.program import build

NEW_YORK = ZoneInfo("America/New_York")
HOUR_S = 3_600
# The clocks of New York go forward on Sunday 10 March 2024: the closes move from 21:00 to 20:00 UTC.
SESSIONS = [datetime(2024, 3, day, 16, tzinfo=NEW_YORK) for day in (7, 8, 11, 12)]
DAILY_CLOSES = [int(close.timestamp()) for close in SESSIONS]
HOURLY_CLOSES = [int((close - timedelta(hours=back)).timestamp()) for close in SESSIONS for back in (5, 4, 3, 2, 1, 0)]


def joined(world: Any, other: Any, interval: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the other interval's close as the world's bars know it."""
    bars, more = StreamInput("bars"), StreamInput("bars", interval=interval)
    node = bars["close"] * 0 + more["close"]
    values = evaluate([node], {bars.node_id: world, more.node_id: other})
    return values[node.node_id].numbers()[:, 0]


def test_daily_on_hours_is_known_at_its_close_and_not_before(make_panel: Any) -> None:
    hourly = make_panel({"close": np.arange(24.0)}, closes_s=HOURLY_CLOSES, interval_s=HOUR_S)
    daily = make_panel({"close": [10.0, 11.0, 12.0, 13.0]}, closes_s=DAILY_CLOSES)
    known = joined(hourly, daily, "1d")
    expected = [np.nan] * 5 + [10.0] * 6 + [11.0] * 6 + [12.0] * 6 + [13.0]
    np.testing.assert_array_equal(known, expected)


def test_hours_on_days_are_those_closed_by_the_close(make_panel: Any) -> None:
    hourly = make_panel({"close": np.arange(24.0)}, closes_s=HOURLY_CLOSES, interval_s=HOUR_S)
    daily = make_panel({"close": [10.0, 11.0, 12.0, 13.0]}, closes_s=DAILY_CLOSES)
    np.testing.assert_array_equal(joined(daily, hourly, "1h"), [5.0, 11.0, 17.0, 23.0])


def test_bar_that_closes_a_second_later_is_not_seen(make_panel: Any) -> None:
    hourly = make_panel({"close": np.arange(24.0)}, closes_s=[s + 1 for s in HOURLY_CLOSES], interval_s=HOUR_S)
    daily = make_panel({"close": [10.0, 11.0, 12.0, 13.0]}, closes_s=DAILY_CLOSES)
    np.testing.assert_array_equal(joined(daily, hourly, "1h"), [4.0, 10.0, 16.0, 22.0])


def test_closes_follow_the_clock_change() -> None:
    hours = [datetime.fromtimestamp(close, UTC).hour for close in DAILY_CLOSES]
    assert hours == [21, 21, 20, 20]


def test_join_does_not_change_when_later_bars_arrive(make_panel: Any) -> None:
    hourly = make_panel({"close": np.arange(24.0)}, closes_s=HOURLY_CLOSES, interval_s=HOUR_S)
    whole = joined(hourly, make_panel({"close": [1.0, 2.0, 3.0, 4.0]}, closes_s=DAILY_CLOSES), "1d")
    part = joined(hourly, make_panel({"close": [1.0, 2.0]}, closes_s=DAILY_CLOSES[:2]), "1d")
    before_third = HOURLY_CLOSES.index(DAILY_CLOSES[2])
    np.testing.assert_array_equal(whole[:before_third], part[:before_third])


def test_window_of_hours_counts_hours_before_the_join(make_panel: Any) -> None:
    hourly = make_panel({"close": np.arange(24.0)}, closes_s=HOURLY_CLOSES, interval_s=HOUR_S)
    daily = make_panel({"close": [10.0, 11.0, 12.0, 13.0]}, closes_s=DAILY_CLOSES)
    bars, hours = StreamInput("bars"), StreamInput("bars", interval="1h")
    node = bars["close"] - hours["close"].rolling_mean(3)
    values = evaluate([node], {bars.node_id: daily, hours.node_id: hourly})[node.node_id].numbers()[:, 0]
    np.testing.assert_allclose(values, [10 - 4.0, 11 - 10.0, 12 - 16.0, 13 - 22.0])


def test_symbols_are_joined_by_name(make_panel: Any) -> None:
    world = make_panel({"close": [[1.0, 2.0, 3.0]]}, symbols=["A", "B", "C"])
    own = make_panel({"score": [[30.0, 10.0]]}, symbols=["C", "A"])
    bars, scores = StreamInput("bars"), StreamInput("sentiment", interval="1d")
    node = bars["close"] + scores["score"]
    values = evaluate([node], {bars.node_id: world, scores.node_id: own})[node.node_id].numbers()
    np.testing.assert_array_equal(values, [[11.0, np.nan, 33.0]])


def test_panels_without_a_common_symbol_are_refused(make_panel: Any) -> None:
    world = make_panel({"close": [[1.0]]}, symbols=["A"])
    index = make_panel({"close": [[5.0]]}, symbols=["SPX"])
    bars, spx = StreamInput("bars"), StreamInput("bars", symbols=["SPX"])
    inputs = {bars.node_id: world, spx.node_id: index}
    with pytest.raises(QmtlError, match=r"none in common; choose one with \.symbol"):
        evaluate([bars["close"] / spx["close"]], inputs)
    node = bars["close"] / spx["close"].symbol("SPX")
    assert evaluate([node], inputs)[node.node_id].numbers()[0, 0] == 0.2


def test_function_gets_other_intervals_joined(make_panel: Any) -> None:
    hourly = make_panel({"close": np.arange(24.0)}, closes_s=HOURLY_CLOSES, interval_s=HOUR_S)
    daily = make_panel({"close": [10.0, 11.0, 12.0, 13.0]}, closes_s=DAILY_CLOSES)
    bars, hours = StreamInput("bars"), StreamInput("bars", interval="1h")

    def ratio(view: Any) -> Any:
        return view[bars].array("close") - view[hours].array("close")

    node = Node(ratio, input=[bars, hours], period=1)
    values = evaluate([node], {bars.node_id: daily, hours.node_id: hourly})[node.node_id].numbers()[:, 0]
    np.testing.assert_array_equal(values, [5.0, 0.0, -5.0, -10.0])


def test_warmup_of_streams_crosses_intervals_by_length() -> None:
    class Both(Strategy):
        def setup(self) -> None:
            days, hours = self.bars(), self.bars(interval="1h")
            self.target(days["close"].rolling_mean(10) - hours["close"].rolling_mean(5).shift(1))

    program = build(Both)
    needed = {node.interval_s: program.stream_bars(86_400)[node.node_id] for node in program.streams}
    assert needed == {0: 10, 3_600: 24 + 5 + 1}


@pytest.mark.parametrize(("written", "seconds"), [("30s", 30), ("15m", 900), ("1h", 3600), ("1d", 86_400), (60, 60)])
def test_interval_is_read(written: str | int, seconds: int) -> None:
    assert interval_seconds(written) == seconds


@pytest.mark.parametrize("written", ["", "1", "h", "0h", "1x", -5, 0, 1.5, True])
def test_odd_interval_is_refused(written: Any) -> None:
    with pytest.raises(QmtlError, match="interval"):
        interval_seconds(written)
