"""Short-term reversal: buy what fell far below its mean. A bare signal; the world's sizing rule makes targets of it."""

from __future__ import annotations

from qmtl_sdk import Strategy


class Reversion(Strategy):
    """Signal the symbols whose close stands low against its last bars."""

    window: int = 5
    depth: float = 1.0

    def setup(self) -> None:
        """Turn the z-score of the close into a sign."""
        low = self.bars()["close"].rolling_zscore(self.window) < -self.depth
        self.signal(low.when(1.0, else_=0.0))
