"""Two intervals: weekly bars, made of the world's daily ones, say what to hold; the days say when to step aside."""

from __future__ import annotations

from qmtl_sdk import Strategy, long_only


class WeeklyTrend(Strategy):
    """Hold what closed last week above its mean of half a year, unless it falls sharply within a few days."""

    weeks: int = 26
    days: int = 10
    fall: float = 0.1

    def setup(self) -> None:
        """Join the weekly trend to the days; a week is known at its close, never before."""
        daily = self.bars()["close"]
        weekly = self.bars(interval="1w")["close"]
        rising = weekly > weekly.rolling_mean(self.weeks)
        calm = daily.pct_change(self.days) > -self.fall
        self.target(long_only(calm & rising))
