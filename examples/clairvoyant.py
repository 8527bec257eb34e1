"""A mistake that every backtest rewards: tomorrow's close decides today. The proof finds it, the world rejects it."""

from __future__ import annotations

import polars as pl

from qmtl_sdk import Node, Strategy, long_only


def rises_tomorrow(view):  # type: ignore[no-untyped-def]  # authors need no annotations
    """Return whether the next close is higher: it is not known yet."""
    return pl.col("close").shift(-1) > pl.col("close")


class Clairvoyant(Strategy):
    """Hold what is going to rise."""

    def setup(self) -> None:
        """Look one bar ahead."""
        bars = self.bars()
        self.target(long_only(Node(rises_tomorrow, input=[bars], period=1)))
