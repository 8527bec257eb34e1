"""What accounting returns: the series of a backtest, and its fills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qmtl_sdk.backtest.trades import Trades, round_trips

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True, eq=False)
class Fills:
    """Hold what was traded, in order of time.

    ``bar``, ``symbol``: int64 [F], positions in the result's timestamps and symbols. ``size``: shares, negative for a
    sell. ``price``: after slippage. ``fee``: currency, at least 0.
    """

    bar: NDArray[np.int64]
    symbol: NDArray[np.int64]
    size: NDArray[np.float64]
    price: NDArray[np.float64]
    fee: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of fills."""
        return len(self.bar)


@dataclass(frozen=True, slots=True, eq=False)
class BacktestResult:
    """Hold the outcome of one backtest; amounts in the currency of the prices.

    ``timestamps``: int64 [T], nanoseconds (UTC) of each close. ``returns``: [T], simple, the first against
    ``initial_cash``; never below -1, and 0 once nothing is left. ``equity``, ``cash``: [T], at the close.
    ``drawdown``: [T], how far the equity is below its highest so far, the initial cash counted, as a fraction in
    [0, 1]. ``last_prices``: [S], the last known price, NaN if there was none.
    """

    timestamps: NDArray[np.int64]
    symbols: tuple[str, ...]
    initial_cash: float
    returns: NDArray[np.float64]
    equity: NDArray[np.float64]
    cash: NDArray[np.float64]
    drawdown: NDArray[np.float64]
    last_prices: NDArray[np.float64]
    fills: Fills

    @property
    def positions(self) -> NDArray[np.float64]:
        """Return the shares after each bar, [T, S]; made of the fills at each call, for few backtests are asked."""
        bars, symbols = len(self.timestamps), len(self.symbols)
        held = np.zeros((bars, symbols))
        by_symbol = np.argsort(self.fills.symbol, kind="stable")
        ends = np.cumsum(np.bincount(self.fills.symbol, minlength=symbols))
        for symbol, mine in enumerate(np.split(by_symbol, ends[:-1])):
            at = np.append(self.fills.bar[mine], bars)
            held[at[0] :, symbol] = np.repeat(np.cumsum(self.fills.size[mine]), np.diff(at))
        return held

    @property
    def fees(self) -> NDArray[np.float64]:
        """Return the fees paid in each bar, [T]."""
        return self._per_bar(self.fills.fee)

    @property
    def turnover(self) -> NDArray[np.float64]:
        """Return the notional traded in each bar, halved (one way), as a fraction of the equity before it, [T]."""
        traded = self._per_bar(np.abs(self.fills.size) * self.fills.price)
        before = np.concatenate(([self.initial_cash], self.equity[:-1]))
        return np.divide(traded / 2.0, before, out=np.zeros_like(before), where=before > 0.0)

    def trades(self) -> Trades:
        """Return the round trips; those still open at the end are marked at the last known price."""
        fills = self.fills
        return round_trips(
            fills.bar, fills.symbol, fills.size, fills.price, fills.fee, self.timestamps, self.symbols, self.last_prices
        )

    def fills_frame(self) -> pl.DataFrame:
        """Return the fills as a Polars frame: ts, symbol, size, price, fee."""
        import polars as pl

        names = np.asarray(self.symbols, dtype=object)[self.fills.symbol]
        return pl.DataFrame(
            {
                "ts": pl.Series(self.timestamps[self.fills.bar]).cast(pl.Datetime("ns", "UTC")),
                "symbol": pl.Series(names.tolist(), dtype=pl.String),
                "size": self.fills.size,
                "price": self.fills.price,
                "fee": self.fills.fee,
            }
        )

    def _per_bar(self, amounts: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.zeros(len(self.timestamps))
        np.add.at(sums, self.fills.bar, amounts)
        return sums
