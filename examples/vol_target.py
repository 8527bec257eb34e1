"""Trend scaled to a constant risk: a function node in Polars, proven on submission not to look ahead."""

from __future__ import annotations

import polars as pl

from qmtl_sdk import Node, Strategy

TARGET_RISK = 0.01  # daily standard deviation that each holding is scaled to
MAX_WEIGHT = 0.25


def risk_weight(view):  # type: ignore[no-untyped-def]  # authors need no annotations
    """Return a weight per bar: the target risk over the risk of the last 63 bars, capped."""
    returns = pl.col("close") / pl.col("close").shift(1) - 1.0
    return (TARGET_RISK / returns.rolling_std(63)).clip(0.0, 1.0) * MAX_WEIGHT


class VolTarget(Strategy):
    """Hold what is above its yearly mean, less of it when it moves more."""

    def setup(self) -> None:
        """Multiply the trend by the risk weight."""
        bars = self.bars()
        close = bars["close"]
        weight = Node(risk_weight, input=[bars], period=64)
        self.target((close > close.rolling_mean(250)).when(weight, else_=0.0))
