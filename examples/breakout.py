"""A breakout with a trailing stop: the position depends on its own past, so it is a fold."""

from __future__ import annotations

from qmtl_sdk import Node, Strategy, long_only

Position = tuple[float, float]  # (1 while held, highest close since entry)


def trail(state: Position, bar: dict[str, float]) -> tuple[Position, float]:
    """Enter on a new high of 100 bars, leave 15 % below the highest close since entry."""
    held, peak = state
    close = bar["close"]
    if held:
        peak = max(peak, close)
        held = 0.0 if close < 0.85 * peak else 1.0
    elif close >= bar["high_100"]:
        held, peak = 1.0, close
    return (held, peak), held


class Breakout(Strategy):
    """Ride breakouts until the trailing stop ends them."""

    def setup(self) -> None:
        """Feed close and its rolling high to the fold."""
        close = self.bars()["close"]
        inputs = {"close": close, "high_100": close.rolling_max(100)}
        held = Node(trail, input=inputs, initial=(0.0, 0.0), warmup=0, name="trail")
        self.target(long_only(held > 0.0))
