"""How fast the bars of a replay come, and that the past of a former run is not waited through."""

from __future__ import annotations

from datetime import datetime

import pytest

from qmtl_foundation.errors import QmtlError
from qmtl_sdk.live.feed import Moment
from qmtl_sdk.live.pace import paced, parse_speed
from qmtl_sdk.session.emission import bar_time_of

SECOND = 10**9
CLOSES = [10**18 + 60 * SECOND * minute for minute in range(5)]


@pytest.mark.parametrize(("text", "speed"), [("max", None), ("60x", 60.0), ("1x", 1.0)])
def test_speed_is_read(text: str, speed: float | None) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["", "60", "0x", "-1x", "1.5x", "fast"])
def test_odd_speed_is_refused(text: str) -> None:
    with pytest.raises(QmtlError, match="is no speed; write such as 60x, or max"):
        parse_speed(text)


def waits(speed: float | None, past: datetime | None, idle_limit: float = 1e9) -> list[float]:
    """Return the moment at which each bar came, by a clock that only waiting moves."""
    now = 0.0

    def idle(seconds: float) -> None:
        nonlocal now
        now += min(seconds, idle_limit)

    return [now for _ in paced([Moment(close, {}) for close in CLOSES], speed, past, idle, lambda: now)]


def test_bars_come_as_many_times_faster_as_the_speed_says() -> None:
    assert waits(60.0, None) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert waits(60.0, None, idle_limit=0.25) == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_max_speed_waits_for_none() -> None:
    assert waits(None, None) == [0.0] * 5


def test_bars_of_a_former_run_come_at_once_and_the_pace_begins_behind_them() -> None:
    assert waits(60.0, bar_time_of(CLOSES[2])) == [0.0, 0.0, 0.0, 0.0, 1.0]
    assert waits(60.0, bar_time_of(CLOSES[4])) == [0.0] * 5
