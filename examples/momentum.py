"""Cross-sectional momentum: hold the best half of the symbols by their return over a year."""

from __future__ import annotations

from qmtl_sdk import Strategy, long_only


class Momentum(Strategy):
    """Rank symbols by trailing return and hold those above the middle."""

    lookback: int = 252

    def setup(self) -> None:
        """Rank the trailing returns across symbols."""
        trailing = self.bars()["close"].pct_change(self.lookback)
        self.target(long_only((trailing.rank() > 0.5) & (trailing > 0.0)))
