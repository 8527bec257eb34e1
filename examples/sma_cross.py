"""A moving-average crossover, in operators: the ten lines to begin with."""

from __future__ import annotations

from qmtl_sdk import Strategy, long_only


class SmaCross(Strategy):
    """Hold what stands above its slow average, in equal parts."""

    fast: int = 20
    slow: int = 100

    def setup(self) -> None:
        """Compare two moving averages of the close."""
        close = self.bars()["close"]
        self.target(long_only(close.rolling_mean(self.fast) > close.rolling_mean(self.slow)))
